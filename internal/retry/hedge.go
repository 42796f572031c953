package retry

import (
	"context"
	"reflect"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead-go/fairlead/internal/balancer"
	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// hedge is the second request of one attempt. The first runs in the caller's goroutine; if the
// timer fires before it has returned, the second is started. The first request that succeeds, or is
// refused for good, wins, and the other is cancelled. If the second request fails, another one
// follows while the first is under way: a request that an election has swallowed is answered only
// after the member's time limit.
type hedge struct {
	k     *call
	first *try
	timer *time.Timer

	mu     sync.Mutex
	over   bool          // guarded by mu; the first request has returned
	fired  bool          // guarded by mu; the timer did
	cancel func(error)   // guarded by mu; ends the first request; after over, the second
	done   chan struct{} // guarded by mu; made when the second is started, closed when it ended
	second *try          // set before done is made
	reply  proto.Message // the second's answer; read after done
	err    error         // the second's error; read after done
}

// hedges are reused if their timer never fired: then no other goroutine has seen them.
var hedges = sync.Pool{New: func() any {
	h := &hedge{}
	h.timer = time.AfterFunc(time.Hour, h.fire)
	h.timer.Stop()
	return h
}}

// hedged makes one attempt and, if it takes unusually long, a second one on
// another member.
func (k *call) hedged() error {
	a := k.newAttempt()
	h := hedges.Get().(*hedge)
	h.k, h.first, h.cancel = k, a, a.Pick.Cancel
	h.timer.Reset(k.patience())
	unlimit := k.limitFirst(a)
	err := k.send(a, k.reply)
	unlimit()
	unseen := h.timer.Stop()
	h.mu.Lock()
	h.over = true
	done := h.done
	unseen = unseen && !h.fired
	h.mu.Unlock()
	if unseen {
		*h = hedge{timer: h.timer}
		hedges.Put(h)
	}
	if done == nil {
		return k.finish(a, err)
	}
	if err == nil || speaksForAll(err) {
		h.stopSecond()
		<-done // it is cancelled and ends at once; its try must not outlive the call
		return k.finish(a, err)
	}
	gaveUp := h.awaitSecond(done)
	if h.err == nil {
		if a.Pick.Got != nil {
			k.avoid |= a.Pick.Got.Slot()
		}
		dst := k.reply.(proto.Message)
		proto.Reset(dst)
		proto.Merge(dst, h.reply)
		k.answered(a)
		return nil
	}
	if k.settles(h.err) {
		return k.finish(h.second, h.err)
	}
	if k.ctx.Err() == nil && !gaveUp {
		_ = k.finish(h.second, h.err) // both failures are recorded, and the call returns the first
	}
	return k.finish(a, err)
}

// speaksForAll reports whether another member would answer the first request no better.
func speaksForAll(err error) bool {
	class := etcderr.ClassOf(err)
	return class == etcderr.Final || class == etcderr.Token
}

// settles reports whether the second request's answer is the one that the first would get. A member
// that lags may refuse a request that another one can serve.
func (k *call) settles(err error) bool {
	return err == nil || k.plan.consensus && etcderr.Known(err) != nil && etcderr.ClassOf(err) == etcderr.Final
}

// lookEvery bounds how often one call checks for another member while there is none.
const lookEvery = 50 * time.Millisecond

// patience returns how long the first request may take before a second one is made.
func (k *call) patience() time.Duration {
	switch k.plan.kind {
	case login:
		return loginHedge
	case repeat:
		return max(writeHedge, 2*k.c.delay.get())
	}
	return k.c.delay.get()
}

// lateHedge is a wait that a busy machine does not explain. After it a call may use the budget for
// repetitions: in trouble the budget for hedges is the first to be empty.
const lateHedge = time.Second

// mayHedge takes from the budgets for a call that has waited that long. A login needs none: there
// is only one at a time.
func (k *call) mayHedge(waited time.Duration) bool {
	return k.plan.kind == login || k.c.hedges.take() || waited >= lateHedge && k.c.retries.take()
}

// answered learns from the duration of an attempt that may be hedged.
func (k *call) answered(a *try) {
	if k.plan.hedge && k.plan.kind == read {
		k.c.delay.observe(time.Since(a.began))
	}
}

// loginLimit is how long a request of a login may take before the login starts again: a member
// answers a request that an election has swallowed only after its time limit, 7 s, and the next one
// at once. The limit doubles with each failure. After loginLimits failures there is no limit, so
// that members with too many logins to check get no further ones because of it.
const (
	loginLimit  = 2 * time.Second
	loginLimits = 2
)

// limit returns the limit of this attempt's requests; 0: none.
func (k *call) limit() time.Duration {
	if k.plan.kind != login || k.failures >= loginLimits {
		return 0
	}
	return max(loginLimit, limitFactor*k.c.delay.get()) << k.failures
}

// limitFactor is how many times longer than an unusually slow read a login may take.
const limitFactor = 4

// limitFirst ends the first request of a login when it takes too long, as if its member had been
// left, and returns a function that stops that.
func (k *call) limitFirst(a *try) (stop func() bool) {
	d := k.limit()
	if d == 0 {
		return func() bool { return false }
	}
	return time.AfterFunc(d, func() {
		for _, m := range k.c.cfg.Set.Members() {
			if m.Slot() == a.Pick.Slot() {
				a.Pick.Cancel(&balancer.Ended{Member: m, Moved: true, Err: etcderr.Error{
					Status: codes.Unavailable, Reason: "no answer to a login within " + d.String(),
				}})
			}
		}
	}).Stop
}

// awaitSecond waits for the second request after the first has failed, at most for its limit.
func (h *hedge) awaitSecond(done <-chan struct{}) (gaveUp bool) {
	d := h.k.limit()
	if d == 0 {
		<-done
		return false
	}
	t := time.NewTimer(d - time.Since(h.second.began))
	defer t.Stop()
	select {
	case <-done:
		return false
	case <-t.C:
	}
	h.stopSecond()
	<-done
	return true
}

// stopSecond cancels the second request.
func (h *hedge) stopSecond() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cancel(nil)
}

// fire runs in the timer's goroutine.
func (h *hedge) fire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.k
	if h.over || k == nil {
		return
	}
	h.fired = true
	dst, ok := k.reply.(proto.Message)
	if !ok {
		return
	}
	waited := time.Since(h.first.began)
	if !h.hasMember(waited) || !k.mayHedge(waited) { // the others may use up the budgets
		h.timer.Reset(max(k.patience(), lookEvery))
		return
	}
	b := k.newAttempt()
	b.hedge = true
	b.Pick.Avoid |= h.first.Pick.Slot()
	endFirst := h.cancel
	h.second, h.cancel = b, b.Pick.Cancel
	// Made from its Go type: access to the message itself would race with the first request, which
	// may be writing its answer there.
	h.reply = reflect.New(reflect.TypeOf(dst).Elem()).Interface().(proto.Message)
	done := make(chan struct{})
	started := k.c.cfg.Group.Go(func(context.Context) {
		defer close(done)
		h.err = k.send(b, h.reply)
		if k.settles(h.err) {
			endFirst(nil)
		} else {
			h.again(endFirst)
		}
	})
	if !started {
		b.Pick.Cancel(nil)
		return
	}
	h.done = done
}

// hasMember reports whether there is a member for a second request: another one than the first's,
// which may be in doubt by now. An election may swallow a login although its member is healthy, so
// after a while the same member will do.
func (h *hedge) hasMember(waited time.Duration) bool {
	slot := h.first.Pick.Slot()
	if slot == 0 {
		return false
	}
	return h.k.c.cfg.Set.Alternative(slot) || h.k.plan.kind == login && waited >= lateHedge
}

// again records that the second request has failed, and lets another one follow if the first is
// still under way.
func (h *hedge) again(endFirst func(error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over || h.k.ctx.Err() != nil {
		return
	}
	_ = h.k.finish(h.second, h.err)
	h.second, h.reply, h.err, h.done, h.cancel = nil, nil, nil, nil, endFirst
	h.timer.Reset(max(h.k.patience(), lookEvery))
}
