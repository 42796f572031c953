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

// Claim is a key that a session has put to get in line, and what it then has: locks,
// elections and the recipes are made of claims. It is an Owner while the key exists. All
// methods are safe for concurrent use.
type Claim struct {
	s      *Session
	slot   *slot
	key    string
	rev    int64                   // create revision of the key
	mod    int64                   // guarded by s.mu; its mod revision, as far as known
	header *pb.ResponseHeader      // of the answer that put or found the key
	ctx    context.Context         // ends with the claim
	cancel context.CancelCauseFunc // guarded by s.mu
	// own is what the owner sees of ctx: it ends with the session's renewals too, if those went
	// on when the claim became an ownership. Guarded by s.mu; nil: nobody needs to know yet.
	own      context.Context
	unattend context.CancelFunc // guarded by s.mu; ends guard or verify
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

// NewClaim puts a key attached to the session's lease; one that is there already is taken
// as the claim, with the value that it has. When NewClaim fails, the key is not there or
// will be removed.
func NewClaim(ctx context.Context, s *Session, key, value string) (*Claim, error) {
	e, err := s.enter(ctx, "", key, value)
	if err != nil {
		return nil, err
	}
	e.claim.take()
	return e.claim, nil
}

// take makes the claim an ownership. With an orphaned session it needs no goroutine before
// somebody asks for its Context.
func (c *Claim) take() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.ctx.Err() != nil {
		c.unattend()
		return
	}
	own, cancel := context.WithCancelCause(c.s.ctx)
	if c.ctx.Err() != nil {
		cancel(context.Cause(c.ctx))
	}
	both := c.cancel
	c.cancel = func(cause error) {
		both(cause)
		cancel(cause)
	}
	c.own = own
	context.AfterFunc(own, c.unattend)
}

// Wait waits until fewer than n keys under the prefix were put before the claim's. It
// fails with the context's error when that ends first, with ErrSessionExpired when the
// session does, and with ErrOwnershipLost when the key is deleted. The claim stays; whoever
// does not go on waiting calls Abandon.
func (c *Claim) Wait(ctx context.Context, prefix string, n int) error {
	if n <= 1 {
		_, err := c.turn(ctx, prefix, nil)
		return err
	}
	return c.crowd(ctx, prefix, int64(n))
}

// Release deletes the key. When that fails, it goes on in the background, and Release may
// be called again; either way the claim has ended. A key that is gone already is no error.
func (c *Claim) Release(ctx context.Context) error {
	_, err := c.release(ctx)
	return err
}

func (c *Claim) release(ctx context.Context) (*pb.ResponseHeader, error) {
	c.slot.drop(c, ErrLockReleased)
	h, err := c.slot.remove(ctx, c.rev)
	if err != nil {
		c.slot.sweepLater()
	}
	return h, err
}

// Abandon is Release for who cannot wait: the key is deleted in the background, usually
// before Abandon returns after at most 50 ms. A key that serves another claim of the same
// session stays.
func (c *Claim) Abandon() {
	if c.slot.leave(c, ErrLockReleased) {
		c.slot.sweepLater()
		c.slot.awaitRemoved(c.rev, tidyFor)
	}
}

// Key is the claim's key.
func (c *Claim) Key() string { return c.key }

// Fence is the create revision of the key: higher for each later claim.
func (c *Claim) Fence() int64 { return c.rev }

// IsOwner is a comparison for transactions that holds while the key exists.
func (c *Claim) IsOwner() v3.Cmp { return v3.Compare(v3.CreateRevision(c.key), "=", c.rev) }

// Context ends with the claim; context.Cause tells why, see Mutex.Context.
func (c *Claim) Context() context.Context {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.own == nil {
		c.own = c.ctx
		c.attend(c.verify)
	}
	return c.own
}

// newClaim makes a claim on the key with that create revision, which exists.
func (sl *slot) newClaim(rev int64, header *pb.ResponseHeader) *Claim {
	c := &Claim{s: sl.s, slot: sl, key: sl.key, rev: rev, mod: rev, header: header, told: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(sl.s.life)
	return c
}

// entry is the answer to a request that puts a key.
type entry struct {
	claim *Claim // nil if the key was not put
	found bool   // the key was there already
	value string // of the key that was there
	// ahead is the key just ahead in line, nil if none was; unknown if found
	ahead *mvccpb.KeyValue
}

// enter puts the key, unless it is there, on the further conditions, and with a prefix
// asks for the key ahead of it there.
func (s *Session) enter(ctx context.Context, prefix, key, value string, conditions ...v3.Cmp) (e entry, err error) {
	if s.life.Err() != nil {
		return e, s.ended()
	}
	if err := s.confirm(ctx); err != nil {
		return e, err
	}
	sl, err := s.begin(ctx, key)
	if err != nil {
		return e, err
	}
	defer func() {
		sl.finish(e.claim, e.claim.guard, v3.OutcomeUnknown(err))
		if err != nil {
			s.failed(err)
		}
	}()
	then := []v3.Op{v3.OpPut(key, value, v3.WithLease(s.id))}
	if prefix != "" {
		then = append(then, v3.OpGet(prefix, newest(2)...))
	}
	r, err := s.client.Txn(ctx).
		If(append([]v3.Cmp{v3.Compare(v3.CreateRevision(key), "=", 0)}, conditions...)...).
		Then(then...).
		Else(v3.OpGet(key)).
		Commit()
	if err != nil {
		return e, err
	}
	if r.Succeeded {
		e.claim = sl.newClaim(r.Header.Revision, r.Header)
		for _, answer := range r.Responses[1:] {
			for _, kv := range answer.GetResponseRange().GetKvs() {
				if string(kv.Key) != key {
					e.ahead = kv
				}
			}
		}
		return e, nil
	}
	if kvs := r.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
		e.claim = sl.newClaim(kvs[0].CreateRevision, r.Header)
		e.found, e.value = true, string(kvs[0].Value)
	}
	return e, nil
}

// put gives the key another value, unless it is gone: ErrOwnershipLost. mod is the key's
// mod revision as far as known. A request of this kind that is executed late finds
// another one and changes nothing.
func (c *Claim) put(ctx context.Context, value string) (*pb.ResponseHeader, error) {
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
