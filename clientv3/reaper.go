package clientv3

import (
	"context"
	"slices"
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
// lease its full TTL again, and its keys would block whoever comes next.
//
// It has one goroutine, and only while there is something to revoke. add and forget
// may be called from anywhere, add also under the lease engine's lock.
type reaper struct {
	l     *lessor
	group *worker.Group

	mu      sync.Mutex
	ids     []int64 // guarded by mu; oldest first
	running bool    // guarded by mu; the goroutine exists and will see what is added
}

// reapTry bounds one try of a revocation.
const reapTry = 5 * time.Second

func (r *reaper) add(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, id)
	if !r.running {
		r.running = r.group.Go(r.run)
	}
}

// forget keeps a lease that somebody wants after all.
func (r *reaper) forget(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = slices.DeleteFunc(r.ids, func(x int64) bool { return x == id })
}

// next returns the oldest lease to revoke; the goroutine ends if there is none.
func (r *reaper) next() (int64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ids) == 0 {
		r.running = false
		return 0, false
	}
	return r.ids[0], true
}

func (r *reaper) run(ctx context.Context) {
	wait := backoff.Policy{Base: 100 * time.Millisecond, Max: 2 * time.Second}
	for n := 0; ctx.Err() == nil; {
		id, ok := r.next()
		if !ok {
			return
		}
		if r.revoke(ctx, id) {
			r.forget(id)
			n = 0
			continue
		}
		if backoff.Sleep(ctx, wait.Wait(n)) != nil {
			return
		}
		n++
	}
}

// revoke reports whether the lease needs no further try.
func (r *reaper) revoke(ctx context.Context, id int64) bool {
	ctx, cancel := context.WithTimeout(ctx, reapTry)
	defer cancel()
	_, err := r.l.remote.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: id}, r.l.callOpt...)
	if err == nil || etcderr.Same(err, rpctypes.ErrLeaseNotFound) {
		r.l.log.Info("lost lease revoked", zap.Int64("lease", id))
		return true
	}
	return etcderr.ClassOf(err) == etcderr.Final // denied, or a client that is closed
}
