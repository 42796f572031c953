package concurrency

// A claim is one key in the line of a prefix: put by enter, first in line after turn,
// gone after release. It serves locks and elections alike.

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

const (
	// guardAfter is how long a claim lives before it watches its key. A shorter one, such
	// as most locks without contention, costs no watch; the news is late by no more, since
	// the watch begins at the claim's own revision.
	guardAfter = 25 * time.Millisecond
	// tidyFor is how long a call whose context has ended waits for its key to be deleted,
	// so that the key is usually gone when the call returns.
	tidyFor = 50 * time.Millisecond
	// lookAgain is the wait after a watch that ended by itself.
	lookAgain = 50 * time.Millisecond
	// confirmFor bounds the question whether a lease still exists.
	confirmFor = time.Second
)

type claim struct {
	s      *Session
	slot   *slot
	prefix string // with the final slash
	key    string
	rev    int64              // create revision of the key
	mod    int64              // guarded by s.mu; its mod revision, as far as known
	header *pb.ResponseHeader // of the answer that put or found the key
	ctx    context.Context    // ends with the claim
	cancel context.CancelCauseFunc
	// told is closed after the claim ended, when it is known whether the session did too.
	told chan struct{}
}

// ownerKey is the key of an owner under a prefix with its final slash.
func (s *Session) ownerKey(prefix string) string {
	if s.distinct {
		return fmt.Sprintf("%s%x-%08x", prefix, int64(s.id), rand.Uint32())
	}
	return fmt.Sprintf("%s%x", prefix, int64(s.id))
}

// newClaim makes a claim on the key with that create revision, which exists.
func (sl *slot) newClaim(prefix string, rev int64, header *pb.ResponseHeader) *claim {
	c := &claim{s: sl.s, slot: sl, prefix: prefix, key: sl.key, rev: rev, mod: rev, header: header, told: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(sl.s.ctx)
	return c
}

// entry is the answer to a request that puts a key.
type entry struct {
	claim *claim // nil if the key was not put
	found bool   // the key was there already
	value string // of the key that was there
	// ahead is the key just ahead in line, nil if none was; unknown if found
	ahead *mvccpb.KeyValue
}

// enter puts the key, unless it is there, on the further conditions.
func (s *Session) enter(ctx context.Context, prefix, key, value string, conditions ...v3.Cmp) (e entry, err error) {
	if s.ctx.Err() != nil {
		return e, s.ended()
	}
	sl, err := s.begin(ctx, key)
	if err != nil {
		return e, err
	}
	defer func() {
		sl.finish(e.claim, v3.OutcomeUnknown(err))
		if err != nil {
			s.failed(err)
		} else if e.claim != nil {
			s.group.Go(e.claim.guard)
		}
	}()
	r, err := s.client.Txn(ctx).
		If(append([]v3.Cmp{v3.Compare(v3.CreateRevision(key), "=", 0)}, conditions...)...).
		Then(v3.OpPut(key, value, v3.WithLease(s.id)), v3.OpGet(prefix, newest(2)...)).
		Else(v3.OpGet(key)).
		Commit()
	if err != nil {
		return e, err
	}
	if r.Succeeded {
		e.claim = sl.newClaim(prefix, r.Header.Revision, r.Header)
		for _, kv := range r.Responses[1].GetResponseRange().GetKvs() {
			if string(kv.Key) != key {
				e.ahead = kv
			}
		}
		return e, nil
	}
	if kvs := r.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
		e.claim = sl.newClaim(prefix, kvs[0].CreateRevision, r.Header)
		e.found, e.value = true, string(kvs[0].Value)
	}
	return e, nil
}

// newest are the options for the latest n keys of a prefix.
func newest(n int64) []v3.OpOption {
	return []v3.OpOption{v3.WithPrefix(), v3.WithSort(v3.SortByCreateRevision, v3.SortDescend), v3.WithLimit(n), v3.WithKeysOnly()}
}

// ahead returns the key just ahead of the claim in line, nil if there is none, as of the
// header's revision. It fails with a claim that is lost.
func (c *claim) ahead(ctx context.Context) (*mvccpb.KeyValue, *pb.ResponseHeader, error) {
	r, err := c.s.client.Txn(ctx).
		If(v3.Compare(v3.CreateRevision(c.key), "=", c.rev)).
		Then(v3.OpGet(c.prefix, append(newest(1), v3.WithMaxCreateRev(c.rev-1))...)).
		Commit()
	if err != nil {
		return nil, nil, err
	}
	if !r.Succeeded {
		c.lost()
		return nil, nil, c.ended(ctx)
	}
	if kvs := r.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
		return kvs[0], r.Header, nil
	}
	return nil, r.Header, nil
}

// turn returns when the claim is the first in line. ahead is the key ahead of it when it
// entered, nil if that is not known.
func (c *claim) turn(ctx context.Context, ahead *mvccpb.KeyValue) error {
	header := c.header
	for {
		if ahead == nil {
			var err error
			if ahead, header, err = c.ahead(ctx); err != nil || ahead == nil {
				return err
			}
		}
		if err := c.awaitDelete(ctx, string(ahead.Key), header.Revision+1); err != nil {
			return err
		}
		ahead = nil
	}
}

// awaitDelete returns when the key was deleted at rev or later, or may have been.
func (c *claim) awaitDelete(ctx context.Context, key string, rev int64) error {
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := c.s.client.Watch(wctx, key, v3.WithRev(rev), v3.WithFilterPut())
	for {
		select {
		case r, ok := <-changes:
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case !ok || r.Err() != nil:
				return backoff.Sleep(ctx, lookAgain)
			case len(r.Events) > 0:
				return nil
			}
		case <-c.ctx.Done():
			return c.ended(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// guard watches the claim's own key and ends the claim when it goes.
func (c *claim) guard(context.Context) {
	if backoff.Sleep(c.ctx, guardAfter) == nil {
		c.watchFrom(c.rev)
	}
}

// verify is guard for a claim whose key may not exist.
func (c *claim) verify(context.Context) {
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
func (c *claim) watchFrom(seen int64) {
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
func (c *claim) exists() (seen int64, err error) {
	kv, seen, err := c.slot.look(c.ctx)
	if err == nil && (kv == nil || kv.CreateRevision != c.rev) {
		c.lost()
	}
	return seen, err
}

// follow watches the key from rev on until it is deleted or the watch ends; it returns
// up to which revision it saw everything.
func (c *claim) follow(rev int64) (seen int64, gone bool) {
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
func (c *claim) lost() {
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
func (c *claim) ended(ctx context.Context) error {
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

// release deletes the key. When that fails, it is tried again in the background.
func (c *claim) release(ctx context.Context) error {
	c.slot.drop(c, ErrLockReleased)
	err := c.slot.remove(ctx, c.rev)
	if err != nil {
		c.slot.sweepLater()
	}
	return err
}

// abandon gives up a claim that did not get its turn. Its key is deleted in the
// background, usually before abandon returns; not if it serves another claim.
func (c *claim) abandon() {
	if c.slot.leave(c, ErrLockReleased) {
		c.slot.sweepLater()
		c.slot.awaitRemoved(c.rev, tidyFor)
	}
}

// put gives the key another value, unless it is gone: ErrOwnershipLost. mod is the key's
// mod revision as far as known. A request of this kind that is executed late finds
// another one and changes nothing.
func (c *claim) put(ctx context.Context, value string) (*pb.ResponseHeader, error) {
	for {
		c.s.mu.Lock()
		mod := c.mod
		c.s.mu.Unlock()
		r, err := c.s.client.Txn(ctx).
			If(v3.Compare(v3.CreateRevision(c.key), "=", c.rev), v3.Compare(v3.ModRevision(c.key), "=", mod)).
			Then(v3.OpPut(c.key, value, v3.WithLease(c.s.id))).
			Else(v3.OpGet(c.key, v3.WithKeysOnly())).
			Commit()
		if err != nil {
			c.s.failed(err)
			return nil, err
		}
		now := r.Header.Revision
		if !r.Succeeded {
			kvs := r.Responses[0].GetResponseRange().GetKvs()
			if len(kvs) == 0 || kvs[0].CreateRevision != c.rev {
				c.lost()
				return nil, ErrOwnershipLost
			}
			now = kvs[0].ModRevision
		}
		c.s.mu.Lock()
		c.mod = now
		c.s.mu.Unlock()
		if r.Succeeded {
			return r.Header, nil
		}
	}
}
