package recipe

import (
	"context"
	"sync"

	"github.com/fairlead-go/fairlead/clientv3/concurrency"
)

// RWMutex is a lock for many readers or one writer. They get it in the order in which they asked:
// readers wait for the writers before them, writers for all before them. One RWMutex serves one
// holder at a time.
type RWMutex struct {
	s      *concurrency.Session
	prefix string

	mu    sync.Mutex
	claim *concurrency.Claim // guarded by mu; nil if not locked
}

// NewRWMutex returns a lock whose contenders put their keys below prefix.
func NewRWMutex(s *concurrency.Session, prefix string) *RWMutex {
	return &RWMutex{s: s, prefix: prefix + "/"}
}

// RLock locks for reading.
func (rwm *RWMutex) RLock() error { return rwm.RLockContext(rwm.s.Client().Ctx()) }

// RLockContext is RLock with a context. When it fails, nothing is locked.
func (rwm *RWMutex) RLockContext(ctx context.Context) error {
	return rwm.lock(ctx, rwm.prefix+"read", rwm.prefix+"write/")
}

// Lock locks for writing.
func (rwm *RWMutex) Lock() error { return rwm.LockContext(rwm.s.Client().Ctx()) }

// LockContext is Lock with a context. When it fails, nothing is locked.
func (rwm *RWMutex) LockContext(ctx context.Context) error {
	return rwm.lock(ctx, rwm.prefix+"write", rwm.prefix)
}

func (rwm *RWMutex) lock(ctx context.Context, queue, waitFor string) error {
	claim, err := concurrency.NewClaim(ctx, rwm.s, uniqueKey(queue), "")
	if err != nil {
		return err
	}
	if err := claim.Wait(ctx, waitFor, 1); err != nil {
		claim.Abandon()
		return err
	}
	rwm.mu.Lock()
	defer rwm.mu.Unlock()
	rwm.claim = claim
	return nil
}

// RUnlock releases the lock of RLock. Without one it does nothing.
func (rwm *RWMutex) RUnlock() error { return rwm.UnlockContext(rwm.s.Client().Ctx()) }

// Unlock releases the lock of Lock. Without one it does nothing.
func (rwm *RWMutex) Unlock() error { return rwm.UnlockContext(rwm.s.Client().Ctx()) }

// RUnlockContext is RUnlock with a context.
func (rwm *RWMutex) RUnlockContext(ctx context.Context) error { return rwm.UnlockContext(ctx) }

// UnlockContext is Unlock with a context. When it fails, the release goes on in the background, and
// UnlockContext may be called again.
func (rwm *RWMutex) UnlockContext(ctx context.Context) error {
	claim := rwm.Claim()
	if claim == nil {
		return nil
	}
	if err := claim.Release(ctx); err != nil {
		return err
	}
	rwm.mu.Lock()
	defer rwm.mu.Unlock()
	if rwm.claim == claim {
		rwm.claim = nil
	}
	return nil
}

// Claim returns the claim that holds the lock, for fencing and to learn of its loss; nil while it
// is not locked.
func (rwm *RWMutex) Claim() *concurrency.Claim {
	rwm.mu.Lock()
	defer rwm.mu.Unlock()
	return rwm.claim
}
