package mirror

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// leases are the target's leases, which have the ids of the source's. They are kept alive as long
// as keys are attached to them. All methods may be called on nil, which stands for a mirror without
// leases.
type leases struct {
	m    *mirror
	ctx  context.Context // that of Run, so that an interruption of the mirror does not end leases
	kept map[clientv3.LeaseID]*kept
	keys map[string]clientv3.LeaseID // of keys with a lease
}

type kept struct {
	renewals <-chan *clientv3.LeaseKeepAliveResponse
	stop     context.CancelFunc
	keys     int
}

func newLeases(m *mirror) *leases {
	return &leases{m: m, kept: make(map[clientv3.LeaseID]*kept), keys: make(map[string]clientv3.LeaseID)}
}

// reset forgets which keys have leases. The comparison that follows finds them again.
func (l *leases) reset() {
	if l == nil {
		return
	}
	clear(l.keys)
	for id, k := range l.kept {
		k.keys = 0
		if k.ended() {
			l.forget(id)
		}
	}
}

// of returns the lease of a key in the target, and grants it if it does not exist.
func (l *leases) of(ctx context.Context, key string, kv *mvccpb.KeyValue) (clientv3.LeaseID, error) {
	id := clientv3.LeaseID(kv.Lease)
	if l == nil {
		return clientv3.NoLease, nil
	}
	if l.keys[key] == id {
		return id, nil // known: its lease, or that it has none
	}
	if id != clientv3.NoLease && l.kept[id] == nil {
		there, err := l.make(ctx, id)
		if err != nil {
			return 0, err
		}
		if !there {
			id = clientv3.NoLease // the source's lease has ended; the key's deletion follows
		}
	}
	l.drop(key)
	if id != clientv3.NoLease {
		l.keys[key] = id
		l.kept[id].keys++
	}
	return id, nil
}

// make grants a lease in the target with the id and TTL of the source's, unless it exists.
func (l *leases) make(ctx context.Context, id clientv3.LeaseID) (bool, error) {
	r, err := l.m.source.TimeToLive(ctx, id)
	if err != nil || r.TTL < 0 { // 0 is a lease in its last second, which may be kept alive yet
		return false, err
	}
	_, err = clientv3.RetryLeaseClient(l.m.target).
		LeaseGrant(clientv3.WithRepeat(ctx), &pb.LeaseGrantRequest{ID: int64(id), TTL: r.GrantedTTL})
	if err = clientv3.ContextError(ctx, err); err != nil && !errors.Is(err, rpctypes.ErrLeaseExist) {
		return false, err
	}
	kctx, stop := context.WithCancel(l.ctx)
	renewals, err := l.m.target.KeepAlive(kctx, id)
	if err != nil {
		stop()
		return false, err
	}
	l.kept[id] = &kept{renewals: renewals, stop: stop}
	return true, nil
}

// drop notes that a key has no lease any more. A lease without keys is not kept alive.
func (l *leases) drop(key string) {
	if l == nil {
		return
	}
	id, ok := l.keys[key]
	if !ok {
		return
	}
	delete(l.keys, key)
	if k := l.kept[id]; k != nil {
		k.keys--
	}
}

// sweep stops renewing the leases without keys. It does not revoke them, since a mirror of another
// prefix may use them too.
func (l *leases) sweep() {
	if l == nil {
		return
	}
	for id, k := range l.kept {
		if k.keys == 0 {
			l.forget(id)
		}
	}
}

func (l *leases) forget(id clientv3.LeaseID) {
	l.kept[id].stop()
	delete(l.kept, id)
}

// lost reports whether a lease of the target has ended before that of the source.
func (l *leases) lost() bool {
	if l == nil {
		return false
	}
	for _, k := range l.kept {
		if k.ended() {
			return true
		}
	}
	return false
}

// ended reads the renewals that have arrived, and reports whether their channel is closed.
func (k *kept) ended() bool {
	for {
		select {
		case _, ok := <-k.renewals:
			if !ok {
				return true
			}
		default:
			return false
		}
	}
}
