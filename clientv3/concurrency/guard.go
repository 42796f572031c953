package concurrency

// How a claim learns of its end: it watches its own key.

import (
	"context"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

// attend starts guard or verify, until the claim ends or nobody needs to know; the caller
// holds s.mu.
func (c *Claim) attend(f func(context.Context)) {
	ctx, cancel := context.WithCancel(c.ctx)
	c.unattend = cancel
	if !c.s.work(func(context.Context) { defer cancel(); f(ctx) }) {
		cancel()
	}
}

// guard watches the claim's own key and ends the claim when it goes.
func (c *Claim) guard(ctx context.Context) {
	if backoff.Sleep(ctx, guardAfter) == nil {
		c.watchFrom(ctx, c.rev)
	}
}

// verify is guard for a claim whose key may not exist.
func (c *Claim) verify(ctx context.Context) {
	for {
		seen, err := c.exists(ctx)
		if err == nil {
			c.watchFrom(ctx, seen)
			return
		}
		if backoff.Sleep(ctx, lookAgain) != nil {
			return
		}
	}
}

// watchFrom watches the key, which existed at that revision, until ctx or the claim ends.
func (c *Claim) watchFrom(ctx context.Context, seen int64) {
	for ctx.Err() == nil {
		gone := false
		if seen, gone = c.follow(ctx, seen+1); gone {
			c.lost()
			return
		}
		// The watch ended by itself: compacted, say.
		if backoff.Sleep(ctx, lookAgain) != nil {
			return
		}
		if at, err := c.exists(ctx); err == nil {
			seen = at
		}
	}
}

// exists looks whether the key is there, as of the revision that it returns, and ends the
// claim if not.
func (c *Claim) exists(ctx context.Context) (seen int64, err error) {
	kv, seen, err := c.slot.look(ctx)
	if err == nil && (kv == nil || kv.CreateRevision != c.rev) {
		c.lost()
	}
	return seen, err
}

// follow watches the key from rev on until it is deleted or the watch ends; it returns
// up to which revision it saw everything.
func (c *Claim) follow(ctx context.Context, rev int64) (seen int64, gone bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen = rev - 1
	for r := range c.s.client.Watch(ctx, c.key, v3.WithRev(rev), v3.WithFilterPut()) {
		if len(r.Events) > 0 {
			return r.Header.Revision, true
		}
		seen = max(seen, r.Header.Revision)
	}
	return seen, false
}

// lost ends the claims on the key because it is gone, and the session if its lease is.
func (c *Claim) lost() {
	list := c.slot.lost(c.rev)
	tell := func() {
		for _, c := range list {
			close(c.told)
		}
	}
	if len(list) == 0 {
		return
	}
	c.s.mu.Lock()
	started := c.s.work(func(ctx context.Context) {
		defer tell()
		ctx, cancel := context.WithTimeout(ctx, confirmFor)
		defer cancel()
		_ = c.s.ask(ctx)
	})
	c.s.mu.Unlock()
	if !started {
		tell()
	}
}

// ended is the error for whoever needs a claim that has ended. It waits until it is known
// whether the lease has ended too.
func (c *Claim) ended(ctx context.Context) error {
	if context.Cause(c.ctx) == ErrOwnershipLost {
		select {
		case <-c.told:
		case <-ctx.Done():
		case <-c.s.life.Done():
		}
	}
	if c.s.life.Err() != nil {
		return c.s.ended()
	}
	return context.Cause(c.ctx)
}
