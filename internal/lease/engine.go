package lease

// The shell. One lock, Engine.mu, guards the core and all shell state in keeps and streams. A
// goroutine with an input takes the lock, calls the core, carries out the actions, none of which
// block, and releases the lock. Sinks are called under the lock.
//
// Goroutines, all owned by Engine.work and gone when Close returns: per stream a sender and a
// reader (internal/duplex), and none per lease. Callbacks of the timer and of contexts run in
// goroutines of the runtime; Engine.calls counts those that may still run.

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/internal/worker"
)

// Engine keeps leases alive. Its methods are safe for concurrent use.
type Engine struct {
	cfg   Config
	epoch time.Time        // the core's time 0; has a monotonic reading
	wall  func() time.Time // tests set it
	work  *worker.Group
	// callbacks that were set and neither stopped nor finished; added to under mu, never once
	// closed
	calls sync.WaitGroup

	mu     sync.Mutex
	core   *core         // guarded by mu
	ahead  time.Duration // guarded by mu; by how much the wall clock is ahead of the monotonic one since epoch
	closed bool          // guarded by mu
	stop   func() bool   // guarded by mu; stops the timer; nil: none
	notes  []entry       // guarded by mu; to be logged once mu is released

	requests []pb.LeaseKeepAliveRequest // guarded by mu; not used yet
}

// keepHost is the shell's part of a keep, guarded by Engine.mu.
type keepHost struct {
	sink   Sink        // nil once Ended was called
	detach func() bool // stops the callback of the context; nil: none
}

type entry struct {
	text   string
	fields []zap.Field
}

// New makes an engine. It starts nothing until the first KeepAlive.
func New(cfg Config) *Engine {
	if cfg.FirstAnswer <= 0 {
		cfg.FirstAnswer = DefaultFirstAnswer
	}
	return &Engine{
		cfg: cfg, epoch: time.Now(), wall: time.Now,
		work: worker.New(context.Background()),
		core: newCore(cfg.FirstAnswer, rand.Float64),
	}
}

func (e *Engine) now() time.Duration { return time.Since(e.epoch) }

// clock returns the present time, and checks whether the machine was suspended. The caller holds
// e.mu.
func (e *Engine) clock() time.Duration {
	now, wall := e.now(), e.wall().Round(0).Sub(e.epoch.Round(0)) // Round(0) leaves the wall clock only
	ahead := wall - now
	if jump := ahead - e.ahead; jump >= minSleep && !e.closed {
		e.core.sleeping(now, jump)
	}
	e.ahead = ahead
	return now
}

// Persist returns a context with which KeepAlive never ends as Unrenewed: a lease that was not
// renewed in time ends when the server reports that it has ended.
func Persist(ctx context.Context) context.Context { return context.WithValue(ctx, persists{}, true) }

// persists is the key of the value that Persist adds.
type persists struct{}

// Hasty returns a context with which KeepAlive renews the lease within hurry after a stream ended
// that had worked, even if the renewal is not due. The server may have been restored from a backup
// by then, and what a lease's owner has to do about that it learns from a renewal.
func Hasty(ctx context.Context) context.Context { return context.WithValue(ctx, hastens{}, true) }

// hastens is the key of the value that Hasty adds.
type hastens struct{}

// KeepAlive renews the lease until ctx ends or the lease is lost, and returns at once. Several
// calls for one id share the renewals. The first renewal is sent at once, or up to a second later
// if the lease was just renewed for another call. After Close it returns ErrClosed, and then the
// sink is not called; in all other cases it returns nil, and Ended reports the outcome.
func (e *Engine) KeepAlive(ctx context.Context, id int64, s Sink) error {
	k := &keep{
		host: keepHost{sink: s}, persists: ctx.Value(persists{}) != nil, hasty: ctx.Value(hastens{}) != nil,
	}
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		s.Ended(Cancelled, err)
		e.mu.Unlock()
		return nil
	}
	e.core.keepAlive(e.clock(), id, k)
	if ctx.Done() != nil {
		e.calls.Add(1)
		k.host.detach = context.AfterFunc(ctx, func() {
			defer e.calls.Done()
			e.mu.Lock()
			if k.host.sink != nil {
				e.core.cancel(e.clock(), k, ctx.Err())
			}
			e.run()
		})
	}
	e.run()
	return nil
}

// Granted notifies the engine of a grant made through this client, so that the TTL is known before
// the first renewal. sent is when the grant request was sent, with its monotonic reading; term is
// the raft term in the answer, 0 if there is none.
func (e *Engine) Granted(id, ttlSeconds int64, sent time.Time, term uint64) {
	e.mu.Lock()
	e.core.granted(e.clock(), id, seconds(ttlSeconds), sent.Sub(e.epoch), term)
	e.run()
}

// Revoked notifies the engine that this client revoked the lease.
func (e *Engine) Revoked(id int64) {
	e.mu.Lock()
	e.core.revoked(e.clock(), id)
	e.run()
}

// HeldUntil returns until when the lease certainly exists, unless another client revokes it: the
// deadline at which it would be reported lost, with its monotonic reading. false: the lease is not
// kept, or nothing has been acknowledged yet.
func (e *Engine) HeldUntil(id int64) (time.Time, bool) {
	e.mu.Lock()
	e.clock()
	d, ok := e.core.heldUntil(id)
	e.run()
	return e.epoch.Add(d), ok
}

// Close ends all kept leases and returns after all goroutines ended. It may be
// called more than once.
func (e *Engine) Close() {
	e.mu.Lock()
	if !e.closed {
		e.closed = true
		e.core.close(e.now())
		if e.stop != nil && e.stop() {
			e.calls.Done()
		}
		e.stop = nil
	}
	e.run()
	e.work.Stop()
	e.calls.Wait()
}

// run carries out the core's actions and releases the lock, which the caller holds.
func (e *Engine) run() {
	c := e.core
	for i := range c.acts {
		switch a := &c.acts[i]; a.kind {
		case actOpen:
			e.open(a.st)
		case actSend:
			a.st.host.Push(e.request(a.id))
		case actShut:
			a.st.host.Close()
		case actRenewed:
			for k := a.l.keeps; k != nil; k = k.next {
				if k.host.sink != nil {
					k.host.sink.Renewed(a.resp)
				}
			}
		case actAtRisk:
			for k := a.l.keeps; k != nil; k = k.next {
				if k.host.sink != nil {
					k.host.sink.AtRisk()
				}
			}
		case actEnded:
			e.ended(a.k, a.reason, a.err)
		case actArm:
			e.arm(a.at)
		case actNote:
			e.note(a)
		}
	}
	clear(c.acts)
	c.acts = c.acts[:0]
	notes := e.notes
	e.notes = nil
	e.mu.Unlock()
	for _, n := range notes {
		e.cfg.Log.Warn(n.text, n.fields...)
	}
}

func (e *Engine) ended(k *keep, reason Reason, err error) {
	h := &k.host
	h.sink.Ended(reason, err)
	if h.detach != nil && h.detach() {
		e.calls.Done()
	}
	h.sink, h.detach = nil, nil
}

func (e *Engine) arm(at time.Duration) {
	if e.stop != nil && e.stop() {
		e.calls.Done()
	}
	e.stop = nil
	if e.closed {
		return
	}
	e.calls.Add(1)
	e.stop = time.AfterFunc(at-e.now(), func() {
		defer e.calls.Done()
		e.mu.Lock()
		e.core.tick(e.clock())
		e.run()
	}).Stop
}

// add is not inlined: its copies made programs larger.
//
//go:noinline
func (n *entry) add(f zap.Field) { n.fields = append(n.fields, f) }

func (e *Engine) note(a *action) {
	if e.cfg.Log == nil {
		return
	}
	n := entry{text: a.note}
	if a.st != nil {
		n.add(zap.String("member", a.st.member))
		n.add(zap.Int("leases", len(e.core.leases)))
	}
	if a.count > 0 {
		n.add(zap.Int("count", a.count))
	}
	if a.err != nil {
		n.add(zap.Error(a.err))
	}
	e.notes = append(e.notes, n)
}
