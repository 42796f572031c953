package leasing

// Reads that are not answered from memory, and how a key comes to be owned.

import (
	"context"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	v3 "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/internal/response"
)

// acquireFor bounds the request that takes ownership. It is a write, which cannot be repeated on
// another member as a read can. When it fails, the key is only read; at least half of the caller's
// time is left for that.
const acquireFor = time.Second

// asking is a request under way that puts a leasing key, with the events that the watch saw of that
// key meanwhile. Its fields are guarded by leasing.mu.
type asking struct {
	t       *tenure
	in      history
	created int64 // create revision of the last leasing key seen that is attached to our lease
	revoked int64 // the last revision at which its owner was asked to give it up, or it was deleted
}

func (l *leasing) get(ctx context.Context, op *v3.Op) (*v3.GetResponse, error) {
	if ctx == nil || !l.plain(op) {
		return l.ask(ctx, op)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r, ok := l.cached(op); ok {
		return r, nil
	}
	if op.IsSerializable() {
		return l.ask(ctx, op)
	}
	key := string(op.KeyBytes())
	if r, err, done := l.reread(ctx, op, key); done {
		return r, err
	}
	a := l.begin(key)
	if a == nil {
		return l.ask(ctx, op)
	}
	r := l.acquire(ctx, op, key, a)
	if r == nil {
		return l.ask(ctx, op)
	}
	return r, nil
}

// ask sends a get to the cluster.
func (l *leasing) ask(ctx context.Context, op *v3.Op) (*v3.GetResponse, error) {
	if l.isClosed() {
		return nil, ErrClosed
	}
	r, err := l.do(ctx, *op)
	return r.Get(), err
}

// do sends an operation to the cluster and notes the revision of the answer.
func (l *leasing) do(ctx context.Context, op v3.Op) (v3.OpResponse, error) {
	l.mu.RLock()
	t := l.term
	var in history
	var before *pb.ResponseHeader
	if t != nil {
		if in = l.history(t); in == t.latestIn {
			before = t.latest
		}
	}
	l.mu.RUnlock()
	r, err := l.inner.Do(ctx, op)
	if err != nil {
		return r, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if t == nil || l.term != t {
		return r, nil
	}
	if header := response.Header(r); linearizable(&op) && parted(before, header) {
		if in == l.history(t) {
			l.suspect(t)
		}
	} else {
		t.saw(header, in)
	}
	return r, nil
}

// begin notes a request that will take ownership of the key. It returns nil if such a request would
// be in vain or is not needed.
func (l *leasing) begin(key string) *asking {
	if strings.HasPrefix(key, l.pfx) {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.term
	if t == nil || l.owned[key] != nil || l.asking[key] != nil || l.leaving[key] != nil ||
		l.hushed(key) || !l.valid(t) {
		return nil
	}
	a := &asking{t: t, in: l.history(t)}
	l.asking[key] = a
	return a
}

// acquire reads a key and takes ownership of it if it has no owner. It returns nil if the key could
// not even be read.
func (l *leasing) acquire(ctx context.Context, op *v3.Op, key string, a *asking) *v3.GetResponse {
	lk := l.leasingKey(key)
	limit := acquireFor
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out, err := l.do(ctx, v3.OpTxn(
		[]v3.Cmp{v3.Compare(v3.CreateRevision(lk), "=", 0), v3.Compare(v3.LeaseValue(key), "=", v3.NoLease)},
		[]v3.Op{v3.OpGet(key), v3.OpPut(lk, "", v3.WithLease(a.t.lease))},
		[]v3.Op{v3.OpGet(key)}))
	if err != nil {
		l.failed(key, a, err)
		return nil
	}
	r := out.Txn()
	var kv *mvccpb.KeyValue
	if kvs := r.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 {
		kv = kvs[0]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.asking, key)
	switch fence := r.Header.Revision; {
	case !r.Succeeded:
		l.hush(key)
		if a.created != 0 && a.t == l.term {
			l.leave(key, a.created) // put late by an earlier request that failed
		}
	case a.t != l.term: // the session ended, and the leasing key with it
	case a.revoked > fence:
		l.hush(key)
		l.leave(key, fence)
	default:
		l.keep(key, &entry{t: a.t, fence: fence, kv: kv, header: r.Header, in: a.in})
	}
	return (*v3.GetResponse)(answer(kv, r.Header, op))
}

// failed ends a request to take ownership that may still be executed. The watch then sees a leasing
// key without a request, and deletes it.
func (l *leasing) failed(key string, a *asking, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.asking, key)
	l.hush(key)
	if a.t == l.term && a.created != 0 {
		l.leave(key, a.created)
	}
	if v3.SameError(err, rpctypes.ErrLeaseNotFound) {
		if a.t == l.term {
			l.forfeit()
		}
		select {
		case a.t.gone <- struct{}{}:
		default:
		}
	}
}
