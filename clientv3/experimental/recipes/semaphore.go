package recipe

import (
	"context"
	"fmt"
	"sync"

	"github.com/fairlead-go/fairlead/clientv3/concurrency"
)

// Semaphore has a limited number of holders, who get it in the order in which they asked. One
// Semaphore value serves one holder at a time. All values that share a prefix must have the same
// size.
type Semaphore struct {
	s      *concurrency.Session
	prefix string
	size   int

	mu    sync.Mutex
	claim *concurrency.Claim // guarded by mu; nil if not held
}

// NewSemaphore returns a semaphore for size holders whose keys are below prefix. With a size below
// 1 every Acquire fails.
func NewSemaphore(s *concurrency.Session, prefix string, size int) *Semaphore {
	return &Semaphore{s: s, prefix: prefix + "/", size: size}
}

// Acquire waits until fewer than size of those who asked before still hold or wait. When it fails,
// nothing is held.
func (m *Semaphore) Acquire(ctx context.Context) error {
	if m.size < 1 {
		return fmt.Errorf("recipe: a semaphore for %d holders", m.size)
	}
	claim, err := concurrency.NewClaim(ctx, m.s, uniqueKey(m.prefix[:len(m.prefix)-1]), "")
	if err != nil {
		return err
	}
	if err := claim.Wait(ctx, m.prefix, m.size); err != nil {
		claim.Abandon()
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claim = claim
	return nil
}

// Release lets the next one in. The error is [ErrNotHeld] if nothing is held. When Release fails
// otherwise, it goes on in the background and may be called again.
func (m *Semaphore) Release(ctx context.Context) error {
	claim := m.Claim()
	if claim == nil {
		return ErrNotHeld
	}
	if err := claim.Release(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.claim == claim {
		m.claim = nil
	}
	return nil
}

// Claim returns the claim that holds the semaphore, for fencing and to learn of its loss; nil while
// nothing is held.
func (m *Semaphore) Claim() *concurrency.Claim {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.claim
}
