package attempt

import (
	"context"
	"sync"
	"time"
)

// race is a call whose attempts may overlap. All but deliver is of the caller's goroutine.
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
	over bool       // what comes now is dropped
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

// paused is how late a timer may be. Later, this process stood still rather than the instances, or
// had no processor: answers may have come that it has not read yet, so the limit begins anew.
const paused = 50 * time.Millisecond

// patience is after which a call that should have been hedged may take from what is there for
// retries. When all callers wait for one instance, no call earns anything for hedges.
const patience = time.Second

// never is longer than any call.
const never = time.Duration(1<<63 - 1)

// Why an attempt is begun.
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

// deliver hands a result over, or drops it if nobody waits any more.
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

// finish ends what is still under way. The next call must know which instance was silent.
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

// giveUp ends an attempt that had no answer in its time.
func (c *race[T]) giveUp(a *Attempt) {
	a.end(TooLong)
	a.silent = true
	c.silent++
}

// seen takes note that an attempt has ended.
func (c *race[T]) seen(a *Attempt) {
	if a.silent {
		c.silent--
	}
}

// begin takes note that an attempt is on its way; those whose time is up are not needed then.
func (c *race[T]) begin(a *Attempt) {
	a.since = time.Now()
	for _, old := range c.live {
		if old != a && old.over {
			c.giveUp(old)
		}
	}
	c.live = keep(c.live, func(a *Attempt) bool { return !a.gone })
}

// take takes what has come of an attempt; done: it is what the caller gets.
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
	case e.a.gone && (c.failed || e.r.Err == nil): // its value has gone with its context; what is known tells more
		c.drop(e.r)
	default:
		if c.failed {
			c.drop(c.last)
		}
		c.last, c.failed = e.r, true
	}
	if len(c.live) > 0 {
		// A hedge that failed leaves the call where it was, with one that is slow.
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

// due does what is due and says when the next thing will be.
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

// followed reports whether an attempt was begun after this one.
func (c *race[T]) followed(a *Attempt) bool { return c.live[len(c.live)-1] != a }

// successorBegan reports whether a later one is on its way whose time is not up.
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
