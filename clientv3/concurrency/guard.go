package concurrency

// How a claim learns of its end: it watches its own key.

import (
	"context"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

// guard watches the claim's own key and ends the claim when it goes.
func (c *Claim) guard(context.Context) {
	if backoff.Sleep(c.ctx, guardAfter) == nil {
		c.watchFrom(c.rev)
	}
}

// verify is guard for a claim whose key may not exist.
func (c *Claim) verify(context.Context) {
	for {
		seen, err := c.exists()
		if err == nil {
			c.watchFrom(seen)
			return
		}
		if backoff.Sleep(c.ctx, lookAgain) != nil {
			return
		}
	}
}

// watchFrom watches the key, which existed at that revision, until the claim ends.
func (c *Claim) watchFrom(seen int64) {
	for c.ctx.Err() == nil {
		gone := false
		if seen, gone = c.follow(seen + 1); gone {
			c.lost()
			return
		}
		// The watch ended by itself: compacted, say.
		if backoff.Sleep(c.ctx, lookAgain) != nil {
			return
		}
		if at, err := c.exists(); err == nil {
			seen = at
		}
	}
}

// exists looks whether the key is there, as of the revision that it returns, and ends the
// claim if not.
func (c *Claim) exists() (seen int64, err error) {
	kv, seen, err := c.slot.look(c.ctx)
	if err == nil && (kv == nil || kv.CreateRevision != c.rev) {
		c.lost()
	}
	return seen, err
}

// follow watches the key from rev on until it is deleted or the watch ends; it returns
// up to which revision it saw everything.
func (c *Claim) follow(rev int64) (seen int64, gone bool) {
	ctx, cancel := context.WithCancel(c.ctx)
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
	started := c.s.group.Go(func(ctx context.Context) {
		defer tell()
		ctx, cancel := context.WithTimeout(ctx, confirmFor)
		defer cancel()
		c.s.expireIfGone(ctx)
	})
	if !started {
		tell()
	}
}

// ended is the error for whoever needs a claim that has ended. It waits until it is known
// whether the session has ended too.
func (c *Claim) ended(ctx context.Context) error {
	if context.Cause(c.ctx) == ErrOwnershipLost {
		select {
		case <-c.told:
		case <-ctx.Done():
		case <-c.s.ctx.Done():
		}
	}
	if c.s.ctx.Err() != nil {
		return c.s.ended()
	}
	return context.Cause(c.ctx)
}
