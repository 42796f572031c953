package concurrency

import (
	"context"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
)

// noKey is a key that cannot be owned: without an ownership, IsOwner compares it with a revision
// that no key has.
const noKey = "\x00"

// Mutex is a lock that processes share through etcd. Contenders get it in the order in which they
// asked. The package documentation says what concurrent use means.
type Mutex struct {
	s      *Session
	prefix string // with the final slash
	key    string // what this mutex puts

	mu     sync.Mutex
	shown  string // guarded by mu; what Key says while not locked
	claim  *Claim // guarded by mu; nil: not locked
	header *pb.ResponseHeader
}

// NewMutex returns a mutex whose contenders put their keys below pfx followed by a slash.
// All keys there count as contenders, also those of other programs.
func NewMutex(s *Session, pfx string) *Mutex {
	prefix := pfx + "/"
	return &Mutex{s: s, prefix: prefix, key: s.ownerKey(prefix)}
}

// Lock waits until the mutex is this owner's. It fails with the context's error when the context
// ends first, with [go.etcd.io/etcd/api/v3/v3rpc/rpctypes.ErrLeaseNotFound] when the session had
// ended before, with [ErrSessionExpired] when the session ends meanwhile, and with
// [ErrOwnershipLost] when another client deletes the waiting key. In each case the key is removed,
// in the background if necessary.
func (m *Mutex) Lock(ctx context.Context) error {
	return m.get(ctx, func(e entry) (*pb.ResponseHeader, error) {
		return e.claim.turn(ctx, m.prefix, e.ahead)
	})
}

// TryLock locks the mutex if no other owner has it or waits for it. Else it fails with [ErrLocked],
// and puts no key.
func (m *Mutex) TryLock(ctx context.Context) error {
	return m.get(ctx, func(e entry) (*pb.ResponseHeader, error) {
		ahead, header, err := e.claim.ahead(ctx, m.prefix)
		if err == nil && ahead != nil {
			err = ErrLocked
		}
		return header, err
	}, v3.Compare(v3.CreateRevision(m.prefix), "=", 0).WithPrefix())
}

// get enters on the conditions and makes the claim the ownership, once turn has returned if it
// is not known to be the first.
func (m *Mutex) get(ctx context.Context, turn func(entry) (*pb.ResponseHeader, error), conditions ...v3.Cmp) error {
	for {
		e, err := m.s.enter(ctx, m.prefix, m.key, "", conditions...)
		if err != nil {
			shown := m.key
			if err == ErrLocked {
				shown = noKey
			}
			m.giveUp(nil, shown)
			return err
		}
		header := e.claim.header
		if e.found || e.ahead != nil {
			header, err = turn(e)
		}
		if err == nil {
			err = m.take(ctx, e.claim, header)
		}
		if err == nil {
			return nil
		}
		if err != errAgain {
			m.giveUp(e.claim, noKey)
			return err
		}
	}
}

func (m *Mutex) take(ctx context.Context, c *Claim, header *pb.ResponseHeader) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shown, m.claim, m.header = noKey, c, header
	return nil
}

// giveUp abandons the claim, if there is one; Key says shown from then on.
func (m *Mutex) giveUp(c *Claim, shown string) {
	if c != nil {
		c.Abandon()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shown = shown
}

// Unlock releases the mutex; the error is [ErrLockReleased] if it is not locked. It deletes only
// the key that Lock put: if that is gone already, and it is perhaps another owner's turn, it does
// nothing and returns nil. If the deletion fails, it goes on in the background and Unlock may be
// called again; either way ownership ended with the call.
func (m *Mutex) Unlock(ctx context.Context) error {
	c := m.held()
	if c == nil {
		return ErrLockReleased
	}
	if err := c.Release(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.claim == c {
		m.claim, m.shown = nil, noKey
	}
	return nil
}

func (m *Mutex) held() *Claim {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.claim
}

// Key returns the owner's key while the mutex is locked. It is empty before the first Lock. After a
// Lock that could not put its key it is that key, and "\x00" after any other.
func (m *Mutex) Key() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.claim != nil {
		return m.claim.key
	}
	return m.shown
}

// IsOwner returns a comparison for transactions that holds while this owner has the mutex locked.
// See also [Guard].
func (m *Mutex) IsOwner() v3.Cmp { return isOwner(m.held()) }

// Header returns the header of the answer with which the last Lock succeeded, nil before.
func (m *Mutex) Header() *pb.ResponseHeader {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.header
}

// Fence returns the fencing token: the create revision of the owner's key, higher for each later
// owner; 0 while not locked. A resource that refuses tokens below the highest one it has seen is
// safe from owners that do not know yet that they have lost the lock.
func (m *Mutex) Fence() int64 { return fence(m.held()) }

// Context ends when the ownership does, or is known to be lost. context.Cause gives the reason:
// [ErrLockReleased], [ErrOwnershipLost] or [ErrSessionExpired]. While the mutex is not locked, it
// returns a context that has ended.
func (m *Mutex) Context() context.Context { return contextOf(m.held()) }

func isOwner(c *Claim) v3.Cmp {
	if c == nil {
		return v3.Compare(v3.CreateRevision(noKey), "=", -1)
	}
	return c.IsOwner()
}

func fence(c *Claim) int64 {
	if c == nil {
		return 0
	}
	return c.rev
}

func contextOf(c *Claim) context.Context {
	if c == nil {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(ErrLockReleased)
		return ctx
	}
	return c.Context()
}

type locker struct{ *Mutex }

// NewLocker makes a sync.Locker of a mutex. Its Lock waits as long as the client lives. A
// sync.Locker cannot report failures: both methods panic with them, since going on as if locked
// would be worse. Use a [Mutex] where that must not happen.
func NewLocker(s *Session, pfx string) sync.Locker { return &locker{NewMutex(s, pfx)} }

func (l *locker) Lock() {
	if err := l.Mutex.Lock(l.s.client.Ctx()); err != nil {
		panic(err)
	}
}

func (l *locker) Unlock() {
	if err := l.Mutex.Unlock(l.s.client.Ctx()); err != nil {
		panic(err)
	}
}
