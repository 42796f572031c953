package attempt

import (
	"context"
	"sync"
	"time"
)

// race is a call whose attempts may overlap. Everything except deliver belongs to the caller's
// goroutine.
type race[T any] struct {
	p     Plan
	try   func(context.Context, *Attempt) Result[T]
	drop  func(Result[T])
	begun chan *Attempt
	ended chan ended[T] // has room for all attempts

	live   []*Attempt // not given up, without a result
	silent int        // attempts given up whose end has not been seen
	began  int        // attempts
	nobody bool       // there is no other instance
	last   Result[T]  // the latest that failed
	failed bool       // there is one

	mu   sync.Mutex // guards over, and puts into ended
	over bool       // later results are dropped
}

type ended[T any] struct {
	a *Attempt
	r Result[T]
}

func (c *race[T]) run(ctx context.Context) Result[T] {
	defer c.finish()
	c.start(ctx, again)
	timer := time.NewTimer(never)
	defer timer.Stop()
	for {
		select {
		case a := <-c.begun:
			c.begin(a)
		case e := <-c.ended:
			if r, done := c.take(ctx, e); done {
				return r
			}
		case <-timer.C:
		}
		timer.Reset(c.due(ctx))
	}
}

// paused is how late a timer may be. If it is later, this process was paused, not the instances, or
// it had no processor: there may be answers that it has not read yet, so the limit begins anew.
const paused = 50 * time.Millisecond

// patience is after which a call that should have been hedged may spend from the budget for
// retries. When all callers wait for one instance, no call earns anything for hedges.
const patience = time.Second

// never is longer than any call.
const never = time.Duration(1<<63 - 1)

// The reasons to begin an attempt.
const (
	again = false // the one before has failed, or its time is up
	hedge = true
)

// start begins an attempt.
func (c *race[T]) start(ctx context.Context, why bool) {
	actx, cancel := context.WithCancel(ctx)
	a := &Attempt{Number: c.began, Hedge: why, cancel: cancel, begun: c.begun}
	c.began++
	c.live = append(c.live, a)
	go func() { c.deliver(a, c.try(actx, a)) }()
}

// deliver hands a result over, or drops it if the call is over.
func (c *race[T]) deliver(a *Attempt, r Result[T]) {
	c.mu.Lock()
	over := c.over
	if !over {
		c.ended <- ended[T]{a, r}
	}
	c.mu.Unlock()
	if over {
		c.drop(r)
	}
}

// reportFor bounds how long a call waits for the ends of attempts that were given up: they follow
// the end of a context, which a user's transport may ignore.
const reportFor = 50 * time.Millisecond

// finish ends the attempts still under way. The next call must know which instance was silent.
func (c *race[T]) finish() {
	for _, a := range c.live {
		if a.over { // and another one was faster
			c.giveUp(a)
		} else {
			a.end(Outrun)
		}
	}
	timer := time.NewTimer(reportFor)
	defer timer.Stop()
	for c.silent > 0 {
		select {
		case e := <-c.ended:
			c.seen(e.a)
			c.drop(e.r)
		case <-timer.C:
			c.silent = 0
		}
	}
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	for {
		select {
		case e := <-c.ended:
			c.drop(e.r)
		default:
			return
		}
	}
}

// giveUp ends an attempt that had no answer within its time.
func (c *race[T]) giveUp(a *Attempt) {
	a.end(TooLong)
	a.silent = true
	c.silent++
}

// seen notes that an attempt has ended.
func (c *race[T]) seen(a *Attempt) {
	if a.silent {
		c.silent--
	}
}

// begin notes that an attempt is under way; those whose time is up are then no longer needed.
func (c *race[T]) begin(a *Attempt) {
	a.since = time.Now()
	for _, old := range c.live {
		if old != a && old.over {
			c.giveUp(old)
		}
	}
	c.live = keep(c.live, func(a *Attempt) bool { return !a.gone })
}

// take handles the result of an attempt; done: the caller gets r.
func (c *race[T]) take(ctx context.Context, e ended[T]) (r Result[T], done bool) {
	c.seen(e.a)
	c.live = keep(c.live, func(a *Attempt) bool { return a != e.a })
	switch {
	case e.r.Verdict == None:
		c.nobody = true
		if len(c.live) == 0 && !c.failed {
			return e.r, true
		}
		c.drop(e.r)
	case e.r.Verdict == Final && !e.a.gone:
		if c.failed {
			c.drop(c.last)
		}
		return e.r, true
	case e.a.gone && (c.failed || e.r.Err == nil): // its value has gone with its context; the earlier failure says more
		c.drop(e.r)
	default:
		if c.failed {
			c.drop(c.last)
		}
		c.last, c.failed = e.r, true
	}
	if len(c.live) > 0 {
		// A failed hedge leaves the call as it was, with a slow attempt.
		if !e.a.gone && e.r.Verdict == Again && e.a.Number > c.live[len(c.live)-1].Number && ctx.Err() == nil &&
			c.another(c.p.Retries) {
			c.start(ctx, again)
		}
		return r, false
	}
	if ctx.Err() != nil || !c.another(c.p.Retries) {
		return c.last, true
	}
	c.start(ctx, again)
	return r, false
}

// another reports whether one more attempt may be made, and pays for it.
func (c *race[T]) another(b *Budget) bool {
	return !c.nobody && c.began < c.p.Most && b.spend()
}

// due does the work that is due and returns the time until the next.
func (c *race[T]) due(ctx context.Context) time.Duration {
	now := time.Now()
	next := never
	for i := 0; i < len(c.live); i++ { // it may grow
		a := c.live[i]
		if a.since.IsZero() {
			continue
		}
		if c.p.Hedge > 0 && !a.hedged {
			waited := now.Sub(a.since)
			switch {
			case waited < c.p.Hedge:
				next = min(next, c.p.Hedge-waited)
			case c.followed(a):
				a.hedged = true
			case c.another(c.p.Hedges):
				a.hedged = true
				c.start(ctx, hedge)
			case waited < c.p.Hedge+patience:
				next = min(next, c.p.Hedge+patience-waited)
			default:
				if a.hedged = true; c.another(c.p.Retries) {
					c.start(ctx, hedge)
				}
			}
		}
		if c.p.Limit > 0 && !a.over {
			if left := c.p.Limit - now.Sub(a.since); left > 0 {
				next = min(next, left)
			} else if -left > max(paused, c.p.Limit/4) {
				a.since = now
				next = min(next, c.p.Limit)
			} else if a.over = true; !c.followed(a) && c.another(c.p.Retries) {
				c.start(ctx, again)
			}
		}
	}
	c.live = keep(c.live, func(a *Attempt) bool {
		if a.over && c.followed(a) && c.successorBegan(a) {
			c.giveUp(a)
		}
		return !a.gone
	})
	return next
}

// followed reports whether an attempt was begun after a.
func (c *race[T]) followed(a *Attempt) bool { return c.live[len(c.live)-1] != a }

// successorBegan reports whether a later attempt is under way whose time is not up.
func (c *race[T]) successorBegan(a *Attempt) bool {
	for _, b := range c.live {
		if b.Number > a.Number && !b.since.IsZero() && !b.over {
			return true
		}
	}
	return false
}

func keep(list []*Attempt, ok func(*Attempt) bool) []*Attempt {
	kept := make([]*Attempt, 0, len(list))
	for _, a := range list {
		if ok(a) {
			kept = append(kept, a)
		}
	}
	return kept
}
