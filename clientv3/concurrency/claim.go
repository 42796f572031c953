package concurrency

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
)

const (
	// tidyFor is how long a call whose context has ended waits for its key to be deleted, so that
	// the key is usually gone when the call returns. The call has 100 ms in all, of which a busy
	// machine may need most.
	tidyFor = 25 * time.Millisecond
	// lookAgain is the wait after a watch that ended by itself.
	lookAgain = 50 * time.Millisecond
	// mostLost is how many requests of one call may be lost on members that went silent. Two of
	// five members may go silent, and what all of them lose has another cause.
	mostLost = 2
)

// Claim is a key that a session has put to get in line, and the ownership that follows: locks,
// elections and the recipes are made of claims. It is an [Owner] while the key exists. All methods
// are safe for concurrent use.
type Claim struct {
	s      *Session
	hold   *hold // guarded by s.mu
	key    string
	rev    int64                   // create revision of the key
	mod    int64                   // guarded by s.mu; its mod revision, as far as known
	header *pb.ResponseHeader      // of the answer that put or found the key
	line   *v3.Listing             // begun before that was asked for, to be added to
	ctx    context.Context         // ends with the claim
	cancel context.CancelCauseFunc // guarded by s.mu
	// own is what the owner sees of ctx: it ends with the session's renewals too, if those went
	// on when the claim became an ownership. Guarded by s.mu; nil: no caller needs to know yet.
	own context.Context
	// settled is closed after the claim ended, when it is known whether the session did too.
	settled chan struct{}
}

// ownerKey returns the key of an owner under a prefix with its final slash.
func (s *Session) ownerKey(prefix string) string {
	key := s.ownerPrefix(prefix)
	if s.distinct {
		key += fmt.Sprintf("-%08x", rand.Uint32())
	}
	return key
}

// ownerPrefix returns the beginning of all owners' keys of the session under a prefix.
func (s *Session) ownerPrefix(prefix string) string { return fmt.Sprintf("%s%x", prefix, int64(s.id)) }

// NewClaim puts a key attached to the session's lease. If the session has put the key already, that
// key becomes the claim, with the value that it has. It fails with [ErrLocked] if the key is
// another's: attached to another lease, or to none. When NewClaim fails, the session has no such
// key or will remove it.
func NewClaim(ctx context.Context, s *Session, key, value string) (*Claim, error) {
	for {
		e, err := s.enter(ctx, "", key, value)
		if err != nil {
			return nil, err
		}
		if err := e.claim.take(ctx); err != errAgain {
			return e.claim, err
		}
	}
}

// take makes the claim an ownership, unless it has ended meanwhile. With an orphaned session the
// claim needs no goroutine until a caller asks for its Context.
func (c *Claim) take(ctx context.Context) error {
	c.s.mu.Lock()
	if c.ctx.Err() != nil {
		c.s.mu.Unlock()
		return c.ended(ctx)
	}
	defer c.s.mu.Unlock()
	c.hold.taken = true
	if c.s.ctx.Err() != nil {
		c.unguard()
		return nil
	}
	own, cancel := context.WithCancelCause(c.s.ctx)
	both := c.cancel
	c.cancel = func(cause error) {
		both(cause)
		cancel(cause)
	}
	c.own = own
	context.AfterFunc(own, func() {
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		c.unguard()
	})
	return nil
}

// unguard: no caller needs to know of the claim's end; the caller holds s.mu.
func (c *Claim) unguard() {
	sl := c.s.slotOf(c.key)
	sl.core.guard(c.hold, false)
	sl.follow()
}

// Wait waits until fewer than n keys under the prefix were put before the claim's. It fails with
// the context's error when the context ends first, with [ErrSessionExpired] when the session ends,
// and with [ErrOwnershipLost] when the key is deleted. The claim stays; a caller that does not go
// on waiting calls [Claim.Abandon].
func (c *Claim) Wait(ctx context.Context, prefix string, n int) error {
	if n <= 1 {
		_, err := c.turn(ctx, prefix, nil)
		return err
	}
	return c.crowd(ctx, prefix, int64(n))
}

// Release deletes the key. If that fails, the deletion goes on in the background, and Release may
// be called again; either way the claim has ended. If the key is gone already, Release returns nil.
func (c *Claim) Release(ctx context.Context) error {
	_, err := c.release(ctx)
	return err
}

func (c *Claim) release(ctx context.Context) (*pb.ResponseHeader, error) {
	c.s.input(c.key, func(k *core) { k.release(c.hold) })
	h, err := c.s.remove(ctx, c.key, c.rev)
	c.s.input(c.key, func(k *core) { k.releaseEnded(err != nil) })
	return h, err
}

// Abandon is [Claim.Release] for a caller that cannot wait: the key is deleted in the background,
// usually before Abandon returns, which is after at most 25 ms. A key that serves another claim of
// the same session stays.
func (c *Claim) Abandon() {
	last := false
	c.s.input(c.key, func(k *core) { last = k.leave(c.hold) })
	if last {
		c.s.awaitRemoved(c.key, c.rev, tidyFor)
	}
}

// Key returns the claim's key.
func (c *Claim) Key() string { return c.key }

// Fence returns the create revision of the key: higher for each later claim.
func (c *Claim) Fence() int64 { return c.rev }

// IsOwner returns a comparison for transactions that holds while the key exists.
func (c *Claim) IsOwner() v3.Cmp { return v3.Compare(v3.CreateRevision(c.key), "=", c.rev) }

// Context ends with the claim; context.Cause gives the reason, see [Mutex.Context].
func (c *Claim) Context() context.Context {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.own == nil {
		c.own = c.ctx
		sl := c.s.slotOf(c.key)
		sl.core.guard(c.hold, true)
		sl.follow()
	}
	return c.own
}

// claim makes a claim of the hold that an input gives, and notes how the key was found.
func (s *Session) claim(
	key string,
	header *pb.ResponseHeader,
	found *v3.Listing,
	input func(*core) (*hold, error),
) (*Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sl := s.slotOf(key)
	defer sl.follow()
	h, err := input(&sl.core)
	if err != nil {
		return nil, err
	}
	sl.found = found
	c := &Claim{s: s, hold: h, key: key, rev: h.rev, mod: h.rev, header: header, settled: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(s.life)
	sl.claims[h] = c
	return c, nil
}

// lost ends the claims on the key because it is gone, and the session if its lease is.
func (c *Claim) lost() {
	c.s.input(c.key, func(k *core) { k.missing(c.rev) })
}

// ended returns the error for a caller that needs a claim which has ended: errAgain if its call has
// not returned yet and can get another one. It waits until it is known whether the lease has ended
// too.
func (c *Claim) ended(ctx context.Context) error {
	c.s.mu.Lock()
	again := c.hold.end == shared && !c.hold.taken
	c.s.mu.Unlock()
	if context.Cause(c.ctx) == ErrOwnershipLost {
		select {
		case <-c.settled:
		case <-ctx.Done():
		case <-c.s.life.Done():
		}
	}
	switch {
	case c.s.life.Err() != nil:
		return c.s.ended()
	case again:
		return errAgain
	}
	return context.Cause(c.ctx)
}

// entry is the answer to a request that puts a key.
type entry struct {
	claim *Claim
	found bool   // the key was there already
	value string // of the key that was there
	// ahead is the key just ahead in line, nil if none was; unknown if found
	ahead *mvccpb.KeyValue
}

// enter puts the key, unless it is there, on the further conditions, and with a prefix
// asks for the key ahead of it there. It fails with ErrLocked if there is no key for the
// session.
func (s *Session) enter(ctx context.Context, prefix, key, value string, conditions ...v3.Cmp) (e entry, err error) {
	if err := ctx.Err(); err != nil {
		return e, err
	}
	if s.life.Err() != nil {
		return e, s.gone()
	}
	if err := s.confirm(ctx); err != nil {
		return e, err
	}
	asked, err := s.begin(ctx, key)
	for losses := 0; err == nil; {
		var lost bool
		e, lost, err = s.request(ctx, asked, prefix, key, value, conditions)
		switch {
		case lost && losses < mostLost && ctx.Err() == nil:
			losses++ // the next one finds the key or puts it
			asked, err = s.repeat(ctx, key)
		case lost:
			s.input(key, (*core).unanswered)
			return e, err
		case err == errAgain:
			asked, err = s.begin(ctx, key)
		default:
			return e, err
		}
	}
	return e, err
}

// request sends the request of enter once; errAgain if the key that it found is given up. If the
// request is lost, its outcome is unknown, and core does not know of it yet.
func (s *Session) request(
	ctx context.Context,
	asked int,
	prefix, key, value string,
	conditions []v3.Cmp,
) (e entry, lost bool, err error) {
	then := []v3.Op{v3.OpPut(key, value, v3.WithLease(s.id))}
	if prefix != "" {
		then = append(then, v3.OpGet(prefix, newest(2)...))
	}
	own, line := v3.NewListing(0), v3.NewListing(0)
	// If the key was put and the session does not know, the next in line waits for this session
	// too.
	r, err := s.client.Txn(v3.WithEarlyDoubt(ctx)).
		If(append([]v3.Cmp{v3.Compare(v3.CreateRevision(key), "=", 0)}, conditions...)...).
		Then(then...).
		Else(v3.OpGet(key)).
		Commit()
	if err != nil {
		if lost = v3.OutcomeUnknown(err); !lost {
			s.input(key, (*core).refused)
		}
		s.failed(err)
		return e, lost, err
	}
	rev, ours := r.Header.Revision, true
	is := &mvccpb.KeyValue{
		Key:            []byte(key),
		CreateRevision: rev,
		ModRevision:    rev,
		Version:        1,
		Lease:          int64(s.id),
		Value:          []byte(value),
	}
	if r.Succeeded {
		for _, answer := range r.Responses[1:] {
			for _, kv := range answer.GetResponseRange().GetKvs() {
				if string(kv.Key) != key {
					e.ahead = kv
				}
			}
		}
	} else {
		kvs := r.Responses[0].GetResponseRange().GetKvs()
		if len(kvs) == 0 {
			s.input(key, (*core).refused)
			return e, false, ErrLocked
		}
		// A key that the caller named may belong to others; keys of locks have our lease's name.
		rev, ours = kvs[0].CreateRevision, prefix != "" || s.owns(kvs[0].Lease)
		e.found, e.value = true, string(kvs[0].Value)
		is = kvs[0]
	}
	e.claim, err = s.claim(
		key,
		r.Header,
		listing(own, r.Header, is),
		func(k *core) (*hold, error) { return k.answered(asked, rev, r.Header.Revision, ours) },
	)
	if err == nil {
		e.claim.line = line
	}
	return e, false, err
}

// put gives the key another value, unless it is gone: ErrOwnershipLost. mod is the key's
// mod revision as far as known. A request of this kind that is executed late finds
// another one and changes nothing, so it may be repeated: if a newer mod comes with the value to be
// put, that is the success.
func (c *Claim) put(ctx context.Context, value string) (*pb.ResponseHeader, error) {
	for {
		c.s.mu.Lock()
		mod := c.mod
		c.s.mu.Unlock()
		r, err := c.s.client.Txn(v3.WithRepeat(ctx)).
			If(v3.Compare(v3.CreateRevision(c.key), "=", c.rev), v3.Compare(v3.ModRevision(c.key), "=", mod)).
			Then(v3.OpPut(c.key, value, v3.WithLease(c.s.id))).
			Else(v3.OpGet(c.key)).
			Commit()
		if err != nil {
			c.s.failed(err)
			return nil, err
		}
		now, done := r.Header.Revision, r.Succeeded
		if !done {
			kvs := r.Responses[0].GetResponseRange().GetKvs()
			if len(kvs) == 0 || kvs[0].CreateRevision != c.rev {
				c.lost()
				return nil, ErrOwnershipLost
			}
			now, done = kvs[0].ModRevision, string(kvs[0].Value) == value
		}
		c.s.mu.Lock()
		c.mod = now
		c.s.mu.Unlock()
		if done {
			return r.Header, nil
		}
	}
}
