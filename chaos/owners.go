package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	clientv3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"

	"github.com/fairlead-go/fairlead/chaos/check"
	"github.com/fairlead-go/fairlead/chaos/history"
)

const (
	ownerScope = space + "own/"
	// sessionTTL is in seconds: short, so that sessions are lost during faults.
	sessionTTL = 3
	// counterTry bounds one guarded write.
	counterTry = time.Second
)

// contests are the scopes that contenders compete for.
var contests = []string{"lock", "election"}

// counterKey is the key that the owners of a scope count in.
func counterKey(scope string) string { return ownerScope + scope + ".count" }

// contest is what contenders compete for.
type contest interface {
	concurrency.Owner
	acquire(ctx context.Context) error
	release(ctx context.Context) error
}

type lock struct{ *concurrency.Mutex }

func (l lock) acquire(ctx context.Context) error { return l.Lock(ctx) }
func (l lock) release(ctx context.Context) error { return l.Unlock(ctx) }

type leadership struct {
	*concurrency.Election
	name string
}

func (l leadership) acquire(ctx context.Context) error { return l.Campaign(ctx, l.name) }
func (l leadership) release(ctx context.Context) error { return l.Resign(ctx) }

// contender owns something now and then. While it does, it counts in a key that its ownership
// guards.
type contender struct {
	id, client int
	scope      string // "lock" or "election"
	cli        *clientv3.Client
	clock      history.Clock
	diary      *diary
	rnd        *rand.Rand

	counted int     // guarded writes over all ownerships, since a restored cluster can issue a fence again
	stale   contest // lost and not yet released
	session *concurrency.Session
	end     context.CancelFunc // ends session
	holds   []history.Hold
	tries   []history.Attempt
	failed  int // acquisitions
	errs    []error
}

// run contends until ctx ends.
func (c *contender) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.contend(ctx)
		pause(ctx, time.Duration(c.rnd.Int64N(int64(300*time.Millisecond))))
	}
	if c.session != nil && c.session.Ctx().Err() == nil {
		if err := c.session.Close(); err != nil { // everything is healed
			c.errs = append(c.errs, err)
		}
		c.end()
	}
}

func (c *contender) contend(ctx context.Context) {
	if c.session == nil || c.session.Ctx().Err() != nil {
		if c.session != nil {
			c.session.Orphan()
			c.end()
			c.stale = nil
		}
		// The end of the run ends only the making of a session, not the session itself.
		sctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		stop := context.AfterFunc(ctx, cancel)
		s, err := concurrency.NewSession(c.cli, concurrency.WithTTL(sessionTTL), concurrency.WithContext(sctx))
		if !stop() || err != nil {
			cancel()
			c.failed++
			return
		}
		c.session, c.end = s, cancel
	}
	var what contest = lock{concurrency.NewMutex(c.session, ownerScope+c.scope)}
	if c.scope == "election" {
		what = leadership{concurrency.NewElection(c.session, ownerScope+c.scope), fmt.Sprint(c.id)}
	}
	patience := time.Duration(200+c.rnd.IntN(5000)) * time.Millisecond
	if c.rnd.IntN(4) == 0 {
		patience += 3 * check.Within // long enough to see whether it waits in vain
	}
	try := history.Attempt{Client: c.client, Scope: c.scope, Key: c.key(), Call: c.clock.Now()}
	actx, done := context.WithTimeout(ctx, patience)
	err := what.acquire(actx)
	done()
	try.Return, try.OK = c.clock.Now(), err == nil
	try.End = try.Return
	defer func() { c.tries = append(c.tries, try) }()
	if err != nil {
		c.failed++
		if c.rnd.IntN(4) == 0 { // long enough to see whether its key stays
			defer pause(ctx, 2*check.Within)
		}
		return
	}
	if c.stale != nil {
		// The session is alive, then. The late release must not touch the present key.
		c.holds[len(c.holds)-1].Outlived = true
		c.release(ctx, c.stale)
		c.stale = nil
	}
	c.own(ctx, what)
	try.End = c.holds[len(c.holds)-1].Ended
}

// key returns the key that the contender puts.
func (c *contender) key() string {
	return fmt.Sprintf("%s%s/%x", ownerScope, c.scope, int64(c.session.Lease()))
}

// own counts for a while and then releases its ownership.
func (c *contender) own(ctx context.Context, what contest) {
	owned := what.Context()
	h := history.Hold{
		Client: c.client, Scope: c.scope, Fence: what.Fence(), Acquired: c.clock.Now(),
		Key: c.key(), Lease: int64(c.session.Lease()), TTL: sessionTTL * time.Second,
	}
	length := time.Duration(c.rnd.Int64N(int64(300 * time.Millisecond)))
	if c.rnd.IntN(10) == 0 { // now and then long enough to meet a fault
		length = time.Duration(c.rnd.Int64N(int64(5 * time.Second)))
	}
	until := c.clock.Now() + length
	for c.clock.Now() < until && owned.Err() == nil && ctx.Err() == nil {
		c.counted++
		wctx, done := context.WithTimeout(ctx, counterTry)
		_, err := concurrency.Guard(wctx, c.cli, what).
			Then(clientv3.OpPut(counterKey(c.scope), fmt.Sprintf("%d %d", h.Fence, c.counted))).Commit()
		done()
		if errors.Is(err, concurrency.ErrNotOwner) {
			until = c.clock.Now() + 2*check.Within // the loss must be reported
		}
		if err != nil {
			break // if its outcome is unknown, a later write of ours could overtake it
		}
		h.Counted++
		pause(owned, time.Duration(c.rnd.Int64N(int64(20*time.Millisecond))))
	}
	// Wait out the time without writing, to notice a loss when it happens.
	t := time.NewTimer(until - c.clock.Now())
	defer t.Stop()
	select {
	case <-owned.Done():
	case <-t.C:
	case <-ctx.Done():
	}
	h.Ended = c.clock.Now()
	h.Lost = owned.Err() != nil && ctx.Err() == nil
	h.LastAck = c.diary.renewed(int64(c.session.Lease()))
	c.holds = append(c.holds, h)
	if h.Lost && c.session.Ctx().Err() == nil {
		c.stale = what
		return
	}
	c.release(ctx, what)
}

func (c *contender) release(ctx context.Context, what contest) {
	rctx, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	if err := what.release(rctx); errors.Is(err, concurrency.ErrLockReleased) {
		c.errs = append(c.errs, err)
	}
}
