package clientv3

import (
	"context"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// reaper revokes leases that were declared lost because nobody answered. Their
// holders have given up, but the lease may well live on: a new leader gives every
// lease its full TTL again, and its keys would block whoever comes next. A holder that
// has not given up renews the lease once more, which takes it from the reaper.
//
// It has up to reapers goroutines, and only while there is something to revoke. add and forget
// may be called from anywhere, add also under the lease engine's lock.
type reaper struct {
	l     *lessor
	group *worker.Group

	mu   sync.Mutex
	lost map[int64]*lostLease // guarded by mu; those to be revoked
	// guarded by mu; those that nobody works on, oldest first, and some that were forgotten
	queue   []*lostLease
	running int // guarded by mu; goroutines, each of which looks at queue before it ends
}

// lostLease is one lease to revoke.
type lostLease struct {
	id     int64
	from   time.Time          // not before
	cancel context.CancelFunc // guarded by reaper.mu; of the call under way, or nil
}

const (
	// reapTry bounds one try of a revocation.
	reapTry = 5 * time.Second
	// reapAfter gives a holder that still needs its lease time to say so.
	reapAfter = 250 * time.Millisecond
	// reapers is how many leases are revoked at the same time: with each one's answer 100 ms away,
	// 160 leases a second.
	reapers = 16
)

func (r *reaper) add(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost[id] != nil {
		return
	}
	if r.lost == nil {
		r.lost = make(map[int64]*lostLease)
	}
	x := &lostLease{id: id, from: time.Now().Add(reapAfter)}
	r.lost[id] = x
	r.queue = append(r.queue, x)
	if r.running < reapers && r.group.Go(r.run) {
		r.running++
	}
}

// forget keeps a lease that somebody needs after all.
func (r *reaper) forget(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.lost[id]; x != nil {
		delete(r.lost, id)
		if x.cancel != nil {
			x.cancel()
		}
	}
}

// next returns the oldest lease that nobody works on; without one the goroutine ends.
func (r *reaper) next() *lostLease {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) > 0 {
		x := r.queue[0]
		r.queue[0] = nil
		r.queue = r.queue[1:]
		if r.lost[x.id] == x {
			return x
		}
	}
	r.queue = nil
	r.running--
	return nil
}

func (r *reaper) run(ctx context.Context) {
	wait := backoff.Policy{Base: 100 * time.Millisecond, Max: 2 * time.Second}
	for n := 0; ; {
		x := r.next()
		if x == nil || backoff.Sleep(ctx, time.Until(x.from)) != nil {
			return
		}
		if r.revoke(ctx, x) {
			n = 0
			continue
		}
		if backoff.Sleep(ctx, wait.Wait(n)) != nil {
			return
		}
		n++
	}
}

// begin makes the context of a try, which forget ends; nil: it was forgotten.
func (r *reaper) begin(ctx context.Context, x *lostLease) (context.Context, context.CancelFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost[x.id] != x {
		return nil, nil
	}
	ctx, x.cancel = context.WithTimeout(ctx, reapTry)
	return ctx, x.cancel
}

// revoke reports whether the lease needs no further try; otherwise it is in the queue again.
func (r *reaper) revoke(ctx context.Context, x *lostLease) bool {
	ctx, cancel := r.begin(ctx, x)
	if cancel == nil {
		return true
	}
	defer cancel()
	_, err := r.l.remote.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: x.id}, r.l.callOpt...)
	done := err == nil || etcderr.Same(err, rpctypes.ErrLeaseNotFound)
	if done {
		r.l.log.Info("lost lease revoked", zap.Int64("lease", x.id))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	x.cancel = nil
	switch {
	case r.lost[x.id] != x: // forgotten meanwhile
		return true
	case done, etcderr.ClassOf(err) == etcderr.Final: // denied, or a client that is closed
		delete(r.lost, x.id)
		return true
	}
	r.queue = append(r.queue, x)
	return false
}
