package watch

// The shell. One lock, Engine.mu, guards the core and all shell state in watchers, groups and
// streams. A goroutine with an input takes the lock, calls the core, carries out the actions that
// do not block, and releases the lock.
//
// Goroutines, all owned by Engine.work and gone when Close returns:
//   - per stream a sender and a reader (internal/duplex);
//   - per watcher with a backlog a pump (pump.go);
//   - per check (history.go) one for its duration.
//
// Callbacks of timers and contexts run in goroutines of the runtime; Engine.calls
// counts those that may still come.
//
// While a watcher has no backlog, the reader calls its sink, under the lock. While it has one, its
// pump does, outside of the lock. End is called under the lock, by the pump if there is one. So a
// sink never has two calls at a time.

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/fairlead-go/fairlead/internal/worker"
)

// confirmTimeout bounds the reads of one check of history, so that a check does not outlive its
// watchers by more. Reads on a member without a leader fail after 7 s; the check is repeated in any
// case.
const confirmTimeout = 5 * time.Second

// Engine keeps watchers alive. Its methods are safe for concurrent use.
type Engine struct {
	cfg  Config
	work *worker.Group
	// callbacks that were set and neither stopped nor finished; added to under mu, never once
	// closed
	calls sync.WaitGroup

	mu     sync.Mutex
	core   *core   // guarded by mu, but for losses
	closed bool    // guarded by mu
	cause  error   // guarded by mu; the error of Watch calls that the present input ends
	notes  []entry // guarded by mu; to be logged once mu is released
}

// host is the shell's part of a watcher, guarded by Engine.mu.
type host struct {
	sink   Sink
	ready  chan error    // takes the result of Watch; nil once it was given
	detach func() bool   // stops the callback of the context; nil: none
	stop   chan struct{} // not nil while a pump runs; closed to interrupt it
	ended  bool          // the sink's End was called
}

// groupHost is the shell's part of a group, guarded by Engine.mu.
type groupHost struct {
	stop func() bool // stops the timer; nil: none
}

type entry struct {
	level  zapcore.Level
	text   string
	fields []zap.Field
}

// New makes an engine. It starts nothing until the first Watch.
func New(cfg Config) *Engine {
	if cfg.BufferLimit <= 0 {
		cfg.BufferLimit = DefaultBufferLimit
	}
	return &Engine{
		cfg:  cfg,
		work: worker.New(context.Background()),
		core: newCore(cfg.BufferLimit, cfg.Members, cfg.Confirm != nil, rand.Float64),
	}
}

// Watch registers a watcher and blocks until the server confirmed it, ctx ended,
// or the engine closed. ctx is also the watcher's life: when it ends, the watcher
// ends without a further delivery. When Watch returns an error (ctx.Err() or
// ErrClosed) the sink has been or will be ended. A create that the server rejects
// is a final delivery and an End, and Watch returns nil.
func (e *Engine) Watch(ctx context.Context, r Request, s Sink) error {
	if err := ctx.Err(); err != nil {
		s.End()
		return err
	}
	w := newWatcher(r)
	ready := make(chan error, 1)
	w.host.sink, w.host.ready = s, ready

	e.lock()
	if e.closed {
		e.mu.Unlock()
		s.End()
		return ErrClosed
	}
	if ctx.Done() != nil {
		e.calls.Add(1)
		w.host.detach = context.AfterFunc(ctx, func() {
			defer e.calls.Done()
			e.ended(w, ctx.Err())
		})
	}
	e.core.add(time.Now(), r.Group, w)
	e.run()
	return <-ready
}

// ended is the callback at the end of w's context.
func (e *Engine) ended(w *watcher, cause error) {
	e.lock()
	e.cause = cause
	e.core.cancel(time.Now(), w)
	e.run()
}

// RequestProgress requests a progress notification on every live stream of the group that has
// watchers. If the stream breaks before the answer, the request is sent again on the next one.
// Servers without such requests (before 3.4, the gRPC proxy) get none.
func (e *Engine) RequestProgress(ctx context.Context, group string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.lock()
	if e.closed {
		e.mu.Unlock()
		return ErrClosed
	}
	e.core.requestProgress(time.Now(), group)
	e.run()
	return nil
}

// Losses returns how many watchers have ended because their history was lost.
func (e *Engine) Losses() uint64 { return e.core.losses.Load() }

// Direct reports whether a member itself has confirmed the last watch, and not etcd's gRPC proxy.
func (e *Engine) Direct() bool { return e.core.direct.Load() }

// Close ends all watchers and returns after all goroutines ended. It may be called
// more than once.
func (e *Engine) Close() {
	e.lock()
	if !e.closed {
		e.closed = true
		e.cause = ErrClosed
		e.core.close(time.Now())
	}
	e.run()
	e.work.Stop()
	e.calls.Wait()
}

// lock is not inlined: its copies made programs larger.
//
//go:noinline
func (e *Engine) lock() { e.mu.Lock() }

// run carries out the core's actions and releases the lock, which the caller holds. The results of
// some actions are inputs again; run carries out their actions too.
func (e *Engine) run() {
	c := e.core
	for i := 0; i < len(c.acts); i++ {
		a := &c.acts[i]
		switch a.kind {
		case actOpen:
			e.open(a.st)
		case actSend:
			a.st.host.Push(a.req)
		case actShut:
			a.st.host.Close()
		case actOffer:
			e.offer(a.w, Delivery{Resp: a.resp, Err: a.err}, a.last) // a is invalid after this
		case actPump:
			e.startPump(a.w)
		case actStop:
			e.stopSink(a.w)
		case actEnd:
			e.endSink(a.w)
		case actTell:
			if r := a.w.host.ready; r != nil {
				a.w.host.ready = nil
				r <- e.cause
			}
		case actArm:
			e.armTimer(a.g, a.at)
		case actConfirm:
			e.confirm(a)
		case actNote:
			e.note(a)
		}
	}
	clear(c.acts)
	c.acts = c.acts[:0]
	e.cause = nil
	notes := e.notes
	e.notes = nil
	e.mu.Unlock()
	for _, n := range notes {
		e.cfg.Log.Log(n.level, n.text, n.fields...)
	}
}

// offer tries to deliver at once. The caller holds mu.
func (e *Engine) offer(w *watcher, d Delivery, last bool) {
	switch {
	case w.dropped:
	case !w.queued() && w.host.sink.TryDeliver(d):
		e.core.delivered(w, last)
	default:
		e.core.blocked(time.Now(), w, d, last)
	}
}

// endSink calls End, once, and releases the watcher's resources. The caller holds mu.
func (e *Engine) endSink(w *watcher) {
	h := &w.host
	if h.ended {
		return
	}
	h.ended = true
	h.sink.End()
	if h.detach != nil && h.detach() {
		e.calls.Done()
	}
	h.sink, h.detach = nil, nil
}

func (e *Engine) armTimer(g *group, at time.Time) {
	if g.host.stop != nil && g.host.stop() {
		e.calls.Done()
	}
	g.host.stop = nil
	if at.IsZero() || e.closed {
		return
	}
	e.calls.Add(1)
	g.host.stop = time.AfterFunc(time.Until(at), func() {
		defer e.calls.Done()
		e.lock()
		e.core.tick(time.Now(), g)
		e.run()
	}).Stop
}

// confirm asks the cluster for a check.
func (e *Engine) confirm(a *action) {
	g, w, st, round, q, look := a.g, a.w, a.st, a.round, a.check, a.look
	e.work.Go(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
		f, err := e.cfg.Confirm(ctx, g.name, q)
		v := Retry
		if err != nil && ctx.Err() == nil {
			v = e.cfg.Judge(err)
		}
		cancel()
		e.lock()
		switch {
		case w != nil:
			e.core.vouched(time.Now(), w, st, round, f, err, v)
		case look:
			e.core.looked(time.Now(), st, round, f, err, v)
		case q.Member != "":
			e.core.told(time.Now(), st, f, err)
		default:
			e.core.checked(time.Now(), g, f, err, v)
		}
		e.run()
	})
}

// add is not inlined: its copies made programs larger.
//
//go:noinline
func (n *entry) add(f zap.Field) { n.fields = append(n.fields, f) }

// note keeps a line for the log.
func (e *Engine) note(a *action) {
	if e.cfg.Log == nil {
		return
	}
	n := entry{level: zap.WarnLevel, text: a.note}
	if a.st != nil {
		n.add(zap.String("member", a.st.member))
		n.add(zap.Int("watchers", a.st.g.size))
	}
	if a.w != nil {
		n.add(zap.String("key", string(a.w.key)))
	}
	if a.err != nil {
		n.add(zap.Error(a.err))
	} else if a.st == nil {
		n.level = zap.InfoLevel
	}
	e.notes = append(e.notes, n)
}
