package concurrency

// The shell around core: one slot per key of a session with state, and for each at most one
// goroutine, the attendant, which does the work that core asks for. Calls send their own requests
// and report the outcome to core.
//
// Slots are guarded by Session.mu.

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

type slot struct {
	s        *Session
	key      string
	core     core
	found    *v3.Listing // how the key was read last; nil: it was not
	claims   map[*hold]*Claim
	attended bool
	changed  chan struct{} // closed at the next input; nil: no goroutine waits for it
}

const (
	// guardAfter is how long a claim lives before its key is watched. A shorter claim, as most
	// locks without contention are, costs no watch; the news is late by no more, since the watch
	// begins at the claim's own revision.
	guardAfter = 25 * time.Millisecond
	// attendTry bounds what an attendant reads.
	attendTry = 5 * time.Second
	// removeTry bounds the first deletion by an attendant; each further one gets twice the time, up
	// to removeTryDoubles times: in an election the servers drop requests without an answer, and
	// others wait for the key.
	removeTry        = time.Second
	removeTryDoubles = 3
	// confirmFor bounds the question whether a lease still exists.
	confirmFor = time.Second
)

// attendWait is the wait between two tries of an attendant while they fail, and deniedWait while
// the user may not do what it tries: with a thousand locks that lasts until somebody changes it.
var (
	attendWait = backoff.Policy{Base: 50 * time.Millisecond, Max: time.Second}
	deniedWait = backoff.Policy{Base: 50 * time.Millisecond, Max: 10 * time.Second}
)

// waitAfter returns how an attendant waits after err.
func waitAfter(err error) backoff.Policy {
	if v3.Code(err) == codes.PermissionDenied {
		return deniedWait
	}
	return attendWait
}

// slotOf returns the slot of a key; the caller holds s.mu.
func (s *Session) slotOf(key string) *slot {
	sl := s.slots[key]
	if sl == nil {
		sl = &slot{s: s, key: key, claims: make(map[*hold]*Claim), core: core{dead: s.over.Rev(key)}}
		s.slots[key] = sl
	}
	return sl
}

// input gives the core of a key an input and carries out what follows.
func (s *Session) input(key string, input func(*core)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sl := s.slotOf(key)
	input(&sl.core)
	sl.follow()
}

// follow carries out what follows from an input; the caller holds s.mu.
func (sl *slot) follow() {
	var gone []*Claim
	for _, h := range sl.core.ended {
		c := sl.claims[h]
		delete(sl.claims, h)
		if h.end == released {
			c.cancel(ErrLockReleased)
		} else {
			c.cancel(ErrOwnershipLost)
		}
		if h.end == lost {
			gone = append(gone, c)
		} else {
			close(c.settled)
		}
	}
	sl.core.ended = nil
	sl.s.lostKeys(gone)
	if !sl.attended && sl.core.next().do != idle {
		sl.attended = sl.s.work(sl.attend)
	}
	if sl.changed != nil {
		close(sl.changed)
		sl.changed = nil
	}
	if sl.core.empty() && !sl.attended {
		delete(sl.s.slots, sl.key)
		if sl.core.dead > 0 {
			sl.s.over.Note(sl.key, sl.core.dead)
		}
	}
}

// lostKeys asks whether the session is lost too before the holders of the claims are notified; the
// caller holds s.mu.
func (s *Session) lostKeys(claims []*Claim) {
	if len(claims) == 0 {
		return
	}
	notify := func() {
		for _, c := range claims {
			close(c.settled)
		}
	}
	started := s.work(func(ctx context.Context) {
		defer notify()
		ctx, cancel := context.WithTimeout(ctx, confirmFor)
		defer cancel()
		_ = s.ask(ctx)
	})
	if !started {
		notify()
	}
}

// change is closed at the next input; the caller holds s.mu.
func (sl *slot) change() <-chan struct{} {
	if sl.changed == nil {
		sl.changed = make(chan struct{})
	}
	return sl.changed
}

// begin waits until the key may be requested and notes that a request for it is under way.
func (s *Session) begin(ctx context.Context, key string) (asked int, err error) {
	for {
		s.mu.Lock()
		sl := s.slotOf(key)
		asked, ok := sl.core.begin()
		if ok {
			s.mu.Unlock()
			return asked, nil
		}
		changed := sl.change()
		s.mu.Unlock()
		if err := s.await(ctx, changed); err != nil {
			return 0, err
		}
	}
}

// repeat is begin for a request that is sent again because its outcome is unknown.
func (s *Session) repeat(ctx context.Context, key string) (asked int, err error) {
	var ok bool
	s.input(key, func(k *core) { asked, ok = k.repeat() })
	if ok {
		return asked, nil
	}
	return s.begin(ctx, key)
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

// ended returns the error for a caller that waits with a session whose life ends.
func (s *Session) ended() error {
	if err := s.client.Ctx().Err(); err != nil && context.Cause(s.life) != ErrSessionExpired {
		return err
	}
	return ErrSessionExpired
}

// gone returns the error for a caller that begins with a session whose life has ended: the server's
// answer for its lease, without a request.
func (s *Session) gone() error {
	if err := s.ended(); err != ErrSessionExpired {
		return err
	}
	return rpctypes.ErrLeaseNotFound
}

// awaitRemoved waits until the key with that create revision is gone, or for d.
func (s *Session) awaitRemoved(key string, rev int64, d time.Duration) {
	ctx, cancel := context.WithTimeout(s.life, d)
	defer cancel()
	for {
		s.mu.Lock()
		sl := s.slots[key]
		if sl == nil || sl.core.going != rev {
			s.mu.Unlock()
			return
		}
		changed := sl.change()
		s.mu.Unlock()
		if s.await(ctx, changed) != nil {
			return
		}
	}
}

// remove deletes the key with that create revision, if it is there.
func (s *Session) remove(ctx context.Context, key string, rev int64) (*pb.ResponseHeader, error) {
	ctx = v3.WithRepeat(ctx) // executed twice, or late, it deletes nothing else
	r, err := s.client.Txn(ctx).If(v3.Compare(v3.CreateRevision(key), "=", rev)).Then(v3.OpDelete(key)).Commit()
	if err != nil {
		return nil, err
	}
	s.input(key, func(k *core) { k.removed(rev, r.Header.Revision, r.Succeeded) })
	return r.Header, nil
}
