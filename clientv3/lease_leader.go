package clientv3

import (
	"context"
	"sync"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// strictKeeps are the KeepAlive calls whose context requires a leader. They end when
// no reachable member has a leader. When the last one ends, so do the renewals of its lease.
// Safe for concurrent use; seen may be called for every answer, it is cheap.
type strictKeeps struct {
	members func() int // how many could report

	mu       sync.Mutex
	cancels  map[*leaseSink]context.CancelFunc // guarded by mu
	leadless map[string]bool                   // guarded by mu; members that reported no leader since the last answer
}

// add returns the context to keep with; done forgets it.
func (k *strictKeeps) add(ctx context.Context, s *leaseSink) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cancels == nil {
		k.cancels = make(map[*leaseSink]context.CancelFunc)
	}
	k.cancels[s] = cancel
	return ctx
}

// done is called when the keep has ended, by whatever cause.
func (k *strictKeeps) done(s *leaseSink) {
	k.mu.Lock()
	cancel := k.cancels[s]
	delete(k.cancels, s)
	k.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// seen takes the outcome of opening a stream on member or receiving from it.
func (k *strictKeeps) seen(member string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		clear(k.leadless)
		return
	}
	if etcderr.ClassOf(err) != etcderr.NoLeader || len(k.cancels) == 0 {
		return
	}
	if k.leadless == nil {
		k.leadless = make(map[string]bool)
	}
	k.leadless[member] = true
	if len(k.leadless) < k.members() {
		return
	}
	clear(k.leadless)
	for _, cancel := range k.cancels {
		cancel()
	}
}
