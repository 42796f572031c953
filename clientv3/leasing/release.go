package leasing

// Giving keys up, and waiting until other owners have given theirs up.

import (
	"context"
	"slices"
	"strings"
	"time"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

const (
	// releaseTry bounds one request to delete leasing keys. It is a write, which is not repeated on
	// another member while one is silent.
	releaseTry = 2 * time.Second
	// lookAgain is how long a write waits for the watch to report that the owners in its way have
	// given up, before it asks the cluster itself. The watch may be late or between two
	// connections.
	lookAgain = time.Second
)

// releaseWait is the wait between two tries to delete leasing keys.
var releaseWait = backoff.Policy{Base: 20 * time.Millisecond, Max: time.Second}

// leave starts the deletion of a leasing key. Nothing in this process relies on the key any more.
// The caller holds mu.
func (l *leasing) leave(key string, fence int64) {
	if l.term == nil {
		return // gone with the lease
	}
	// One of several is there at most, but in a restored etcd it may be the earlier one.
	if !slices.Contains(l.leaving[key], fence) {
		l.leaving[key] = append(l.leaving[key], fence)
	}
	select {
	case l.release <- struct{}{}:
	default:
	}
}

// giveBack deletes leasing keys until ctx ends. The deletions compare the create revision, so that
// a late one does no harm, and the lease, since a restored etcd may have given another's leasing
// key that revision.
func (l *leasing) giveBack(ctx context.Context) {
	for failures := 0; ; {
		lease, list := l.some(perTxn)
		if len(list) == 0 {
			failures = 0
			select {
			case <-l.release:
				continue
			case <-ctx.Done():
				return
			}
		}
		if l.remove(ctx, lease, list) == nil {
			failures = 0
			continue
		}
		if backoff.Sleep(ctx, releaseWait.Wait(failures)) != nil {
			return
		}
		failures++
	}
}

// left is a leasing key to delete.
type left struct {
	key   string
	fence int64
}

// some returns up to n of the leasing keys to delete, and their lease.
func (l *leasing) some(n int) (v3.LeaseID, []left) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.term == nil {
		return v3.NoLease, nil
	}
	list := make([]left, 0, min(n, len(l.leaving)))
	for key, fences := range l.leaving {
		for _, fence := range fences {
			if len(list) == n {
				return l.term.lease, list
			}
			list = append(list, left{key, fence})
		}
	}
	return l.term.lease, list
}

func (l *leasing) remove(ctx context.Context, lease v3.LeaseID, list []left) error {
	ctx, cancel := context.WithTimeout(ctx, releaseTry)
	defer cancel()
	ops := make([]v3.Op, 0, len(list))
	for _, is := range list {
		lk := l.leasingKey(is.key)
		ours := []v3.Cmp{v3.Compare(v3.CreateRevision(lk), "=", is.fence), v3.Compare(v3.LeaseValue(lk), "=", lease)}
		ops = append(ops, v3.OpTxn(ours, []v3.Op{v3.OpDelete(lk)}, nil))
	}
	if _, err := l.inner.Do(ctx, v3.OpTxn(nil, ops, nil)); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, is := range list {
		rest := slices.DeleteFunc(l.leaving[is.key], func(fence int64) bool { return fence == is.fence })
		if l.leaving[is.key] = rest; len(rest) == 0 {
			delete(l.leaving, is.key)
		}
	}
	return nil
}

// waiter collects the deletions of leasing keys that are in the way of a write.
type waiter struct {
	guards []guard          // guarded by leasing.mu
	gone   map[string]int64 // guarded by leasing.mu; leasing key to the revision of its deletion
	retry  bool             // guarded by leasing.mu; a deletion may have been missed
	news   chan struct{}    // capacity 1
}

func newWaiter() *waiter { return &waiter{news: make(chan struct{}, 1)} }

func (w *waiter) wake() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// deleted notes the deletion of a leasing key. The caller holds mu.
func (w *waiter) deleted(lk string, rev int64) {
	for i := range w.guards {
		g := &w.guards[i]
		if g.lk == lk || g.end != "" && (span{g.lk, g.end}).covers(lk) {
			if w.gone == nil {
				w.gone = make(map[string]int64)
			}
			w.gone[strings.Clone(lk)] = rev
			w.wake()
			return
		}
	}
}

func (l *leasing) forget(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiters, w)
}

// await returns when the leasing keys in the way are gone, or may be gone.
func (l *leasing) await(ctx context.Context, w *waiter, b *blocked) error {
	t := time.NewTimer(lookAgain)
	defer t.Stop()
	for !l.clear(w, b) {
		select {
		case <-w.news:
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-l.ctx.Done():
			return ErrClosed
		}
	}
	return nil
}

func (l *leasing) clear(w *waiter, b *blocked) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for lk, rev := range w.gone {
		if rev > b.rev {
			delete(b.keys, lk)
		}
	}
	retry := w.retry
	w.retry = false
	return retry || len(b.keys) == 0
}
