package concurrency

// A slot is what a session knows of one of its keys. Two things can go wrong with a key
// behind our back, both after a request without an answer:
//
//   - it was to be deleted and is still there;
//   - it was to be created, and is created late: when a frozen leader thaws, even after
//     later requests for the same key were answered.
//
// The rule that mends both: the key may exist only with a create revision that a claim
// owns, or while a request that creates it is under way. A sweeper, one goroutine per key
// in trouble, deletes it otherwise. All deletions compare the create revision, so one that
// is executed late does no harm. A create revision that is to be deleted is never adopted
// again: acquire waits until it is gone.
//
// Slots are guarded by Session.mu.

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

type slot struct {
	s         *Session
	key       string
	acquiring int                // requests under way that create or adopt the key
	claims    map[*Claim]bool    // those that own it
	removing  map[int64]struct{} // create revisions that are to go and may be there
	doubts    int                // requests that may yet create the key
	sweeping  bool               // the sweeper runs
	changed   chan struct{}      // closed and replaced when any of these changes
}

// sweepWait is between two tries of a sweeper while no member answers.
var sweepWait = backoff.Policy{Base: 50 * time.Millisecond, Max: time.Second}

// sweepTry bounds one request of a sweeper.
const sweepTry = 5 * time.Second

// slotOf returns the slot of a key; the caller holds s.mu.
func (s *Session) slotOf(key string) *slot {
	sl := s.slots[key]
	if sl == nil {
		sl = &slot{s: s, key: key, claims: make(map[*Claim]bool), removing: make(map[int64]struct{}), changed: make(chan struct{})}
		s.slots[key] = sl
	}
	return sl
}

// touch tells those who wait; the caller holds s.mu.
func (sl *slot) touch() {
	close(sl.changed)
	sl.changed = make(chan struct{})
	if sl.acquiring == 0 && len(sl.claims) == 0 && len(sl.removing) == 0 && sl.doubts == 0 && !sl.sweeping {
		delete(sl.s.slots, sl.key)
	}
}

// begin waits until nothing is being deleted and notes that a request is under way that
// creates or adopts the key.
func (s *Session) begin(ctx context.Context, key string) (*slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		sl := s.slotOf(key)
		if len(sl.removing) == 0 {
			sl.acquiring++
			return sl, nil
		}
		changed := sl.changed
		s.mu.Unlock()
		err := s.await(ctx, changed)
		s.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

// await waits for c, the end of ctx or of the session's life.
func (s *Session) await(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.life.Done():
		return s.ended()
	}
}

// ended is the error for whoever wants something of a session whose life has ended.
func (s *Session) ended() error {
	if err := s.client.Ctx().Err(); err != nil && context.Cause(s.life) != ErrSessionExpired {
		return err
	}
	return ErrSessionExpired
}

// finish ends what begin began, with a claim that watch attends to from now on, nil if it made
// none. unknown: the request may be executed later.
func (sl *slot) finish(c *Claim, watch func(context.Context), unknown bool) {
	sl.s.mu.Lock()
	defer sl.s.mu.Unlock()
	sl.acquiring--
	if c != nil {
		sl.claims[c] = true
		c.attend(watch)
	}
	if unknown {
		sl.doubts++
		sl.sweep()
	}
	sl.touch()
}

// drop ends all claims on the key with that create revision: it is to be deleted, at once
// by the caller or by the sweeper. The claim c ends with why, others are told of a loss.
func (sl *slot) drop(c *Claim, why error) {
	sl.s.mu.Lock()
	defer sl.s.mu.Unlock()
	c.cancel(why)
	for _, c := range sl.take(c.rev) {
		close(c.told)
	}
	sl.removing[c.rev] = struct{}{}
	sl.touch()
}

// leave ends one claim. It reports whether that was the last on the key, which is to be
// deleted then.
func (sl *slot) leave(c *Claim, why error) bool {
	sl.s.mu.Lock()
	defer sl.s.mu.Unlock()
	c.cancel(why)
	if !sl.claims[c] {
		return false // lost meanwhile
	}
	delete(sl.claims, c)
	close(c.told)
	last := true
	for other := range sl.claims {
		last = last && other.rev != c.rev
	}
	if last {
		sl.removing[c.rev] = struct{}{}
	}
	sl.touch()
	return last
}

// lost ends all claims on a key that is gone, and returns them.
func (sl *slot) lost(rev int64) []*Claim {
	sl.s.mu.Lock()
	defer sl.s.mu.Unlock()
	list := sl.take(rev)
	sl.touch()
	return list
}

// take removes and ends the claims on the key with that create revision; the caller
// holds s.mu and closes their told.
func (sl *slot) take(rev int64) (list []*Claim) {
	for c := range sl.claims {
		if c.rev == rev {
			delete(sl.claims, c)
			c.cancel(ErrOwnershipLost)
			list = append(list, c)
		}
	}
	return list
}

// awaitRemoved waits until the key with that create revision is gone, or for d.
func (sl *slot) awaitRemoved(rev int64, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		sl.s.mu.Lock()
		_, there := sl.removing[rev]
		changed := sl.changed
		sl.s.mu.Unlock()
		if !there {
			return
		}
		select {
		case <-changed:
		case <-t.C:
			return
		case <-sl.s.life.Done():
			return
		}
	}
}

// removed notes that the key with that create revision is gone.
func (sl *slot) removed(rev int64) {
	sl.s.mu.Lock()
	defer sl.s.mu.Unlock()
	delete(sl.removing, rev)
	sl.touch()
}

// remove deletes the key with that create revision, if it is there.
func (sl *slot) remove(ctx context.Context, rev int64) (*pb.ResponseHeader, error) {
	r, err := sl.s.client.Txn(ctx).If(v3.Compare(v3.CreateRevision(sl.key), "=", rev)).Then(v3.OpDelete(sl.key)).Commit()
	if err != nil {
		return nil, err
	}
	sl.removed(rev)
	return r.Header, nil
}

// sweepLater leaves what is to be deleted to the sweeper.
func (sl *slot) sweepLater() {
	sl.s.mu.Lock()
	defer sl.s.mu.Unlock()
	sl.sweep()
}

// sweep starts the sweeper; the caller holds s.mu.
func (sl *slot) sweep() {
	if !sl.sweeping {
		sl.sweeping = sl.s.work(sl.run)
	}
}

// run is the sweeper. It ends when nothing is in doubt any more, or with the session's life.
func (sl *slot) run(ctx context.Context) {
	for failures := 0; ; {
		kv, seen, err := sl.look(ctx)
		if err == nil && kv != nil {
			err = sl.clear(ctx, kv)
		}
		if err != nil {
			if backoff.Sleep(ctx, sweepWait.Wait(failures)) != nil {
				return
			}
			failures++
			continue
		}
		failures = 0
		if kv != nil {
			continue // look again
		}
		if sl.settled(seen) || sl.awaitKey(ctx, seen+1) != nil {
			return
		}
	}
}

// settled notes that there was no key at that revision, and reports whether the sweeper
// is done.
func (sl *slot) settled(seen int64) bool {
	sl.s.mu.Lock()
	defer sl.s.mu.Unlock()
	for rev := range sl.removing {
		if rev <= seen {
			delete(sl.removing, rev)
		}
	}
	done := sl.doubts == 0 && len(sl.removing) == 0
	sl.sweeping = !done
	sl.touch()
	return done
}

// look reads the key, nil if it is not there, and tells as of which revision.
func (sl *slot) look(ctx context.Context) (*mvccpb.KeyValue, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTry)
	defer cancel()
	r, err := sl.s.client.Get(ctx, sl.key, v3.WithKeysOnly())
	if err != nil {
		return nil, 0, err
	}
	if len(r.Kvs) == 0 {
		return nil, r.Header.Revision, nil
	}
	return r.Kvs[0], r.Header.Revision, nil
}

// clear deletes the key if nobody owns it. If requests are under way that may adopt it,
// it waits for them, and then returns as if it had.
func (sl *slot) clear(ctx context.Context, kv *mvccpb.KeyValue) error {
	s := sl.s
	s.mu.Lock()
	owned := false
	for c := range sl.claims {
		owned = owned || c.rev == kv.CreateRevision
	}
	if owned || sl.acquiring > 0 {
		changed := sl.changed
		s.mu.Unlock()
		return s.await(ctx, changed)
	}
	if _, known := sl.removing[kv.CreateRevision]; !known {
		sl.removing[kv.CreateRevision] = struct{}{}
		sl.doubts = max(sl.doubts-1, 0) // one of them came
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, sweepTry)
	defer cancel()
	_, err := sl.remove(ctx, kv.CreateRevision)
	return err
}

// awaitKey returns when the key may have changed at rev or later; an error at the end of
// the session's life.
func (sl *slot) awaitKey(ctx context.Context, rev int64) error {
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := sl.s.client.Watch(wctx, sl.key, v3.WithRev(rev))
	for {
		sl.s.mu.Lock()
		changed, busy := sl.changed, len(sl.removing) > 0
		sl.s.mu.Unlock()
		if busy {
			return nil
		}
		select {
		case <-changed:
		case r, ok := <-changes:
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case !ok || r.Err() != nil:
				return backoff.Sleep(ctx, sweepWait.Base) // compacted, say: look again
			case len(r.Events) > 0:
				return nil
			}
		}
	}
}
