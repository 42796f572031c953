package batch

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Option changes what [NewKV] does.
type Option func(*kv)

// WithWrites lets concurrent puts and deletes of single keys travel together too, if they have no
// options. This changes for them:
//
//   - Writes that travelled together have one revision: their responses carry the same one, a
//     watcher gets their events in one response, and nobody sees a state between them.
//   - All of them are executed or none. If the answer is lost, the outcome is unknown for all of
//     them ([clientv3.OutcomeUnknown]); [clientv3.WithRepeat] in a caller's context changes
//     nothing. If a transaction was provably not executed, for instance because one of its writers
//     lacks the permission for its key, its writes are repeated one by one. A transaction is not
//     sent again after the context of one of its callers has ended: if it was not executed, the
//     other writes are repeated one by one.
//   - A large value delays the writes that travel with it. At most 1 MiB of keys and values travels
//     together.
//
// As without this option, a write that began after another one had returned is executed after it,
// and the order of writes that are under way at the same time is not defined. A transaction writes
// a key at most once. Writes with options (a lease, the previous value) travel alone.
func WithWrites() Option { return func(k *kv) { k.writes = newQueue(k.KV, true) } }

// NewKV returns a KV over another one, usually a [clientv3.Client], whose concurrent operations
// travel together; see the package comment. It is safe for concurrent use. It has no goroutine
// while no operation is under way and needs no Close.
//
// Operations that travel together, or might have, are executed by below's Do, all others by the
// method that was called. KVs of [github.com/fairlead-go/fairlead/clientv3/namespace] and the like
// can be below or above.
func NewKV(below clientv3.KV, opts ...Option) clientv3.KV {
	k := &kv{KV: below, linearizable: newQueue(below, false), serializable: newQueue(below, false)}
	for _, o := range opts {
		if o != nil {
			o(k)
		}
	}
	return k
}

type kv struct {
	clientv3.KV
	linearizable *queue
	serializable *queue
	writes       *queue // nil: they travel alone
}

// Get implements [clientv3.KV].
func (k *kv) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if !mixes(ctx) || key == "" {
		return k.KV.Get(ctx, key, opts...)
	}
	op := clientv3.OpGet(key, opts...)
	if len(opts) > 0 && !plain(&op) {
		return k.KV.Get(ctx, key, opts...)
	}
	r, err := k.read(&op).do(ctx, &op)
	return r.Get(), err
}

// Do implements [clientv3.KV].
func (k *kv) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	if !op.IsGet() || len(op.KeyBytes()) == 0 || !plain(&op) || !mixes(ctx) {
		return k.KV.Do(ctx, op)
	}
	return k.read(&op).do(ctx, &op)
}

// Put implements [clientv3.KV].
func (k *kv) Put(ctx context.Context, key, val string, opts ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	if k.writes == nil || len(opts) > 0 || key == "" || !mixes(ctx) {
		return k.KV.Put(ctx, key, val, opts...)
	}
	op := clientv3.OpPut(key, val)
	r, err := k.writes.do(ctx, &op)
	return r.Put(), err
}

// Delete implements [clientv3.KV].
func (k *kv) Delete(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	if k.writes == nil || len(opts) > 0 || key == "" || !mixes(ctx) {
		return k.KV.Delete(ctx, key, opts...)
	}
	op := clientv3.OpDelete(key)
	r, err := k.writes.do(ctx, &op)
	return r.Del(), err
}

func (k *kv) read(op *clientv3.Op) *queue {
	if op.IsSerializable() {
		return k.serializable
	}
	return k.linearizable
}

// plain: a read of the present value of one key. A past revision may be refused, as compacted or as
// not there yet, and the refusal costs every read that travels with it a second request.
func plain(op *clientv3.Op) bool {
	return op.RangeBytes() == nil && op.Rev() == 0 && !op.IsSortSet()
}

// mixes: the context asks for nothing that the server would notice. Metadata can change how a
// server treats a request, so a request with metadata travels alone.
func mixes(ctx context.Context) bool {
	if ctx == nil {
		return false // below returns the error for it
	}
	_, has := metadata.FromOutgoingContext(ctx)
	return !has
}

// single executes one operation as it would be executed without this package.
func single(ctx context.Context, below clientv3.KV, op *clientv3.Op) (clientv3.OpResponse, error) {
	return below.Do(ctx, *op)
}

// headed gives the answer to one operation the header of its transaction; a server fills in at most
// the revision.
func headed(h **pb.ResponseHeader, from *pb.ResponseHeader) {
	if *h == nil {
		*h = &pb.ResponseHeader{}
	}
	(*h).ClusterId, (*h).MemberId = from.GetClusterId(), from.GetMemberId()
	(*h).Revision, (*h).RaftTerm = from.GetRevision(), from.GetRaftTerm()
}

// answer returns the response to the operation in place i of a transaction.
func answer(r *clientv3.TxnResponse, i int) (clientv3.OpResponse, error) {
	if i < len(r.Responses) {
		switch a := r.Responses[i].Response.(type) {
		case *pb.ResponseOp_ResponseRange:
			headed(&a.ResponseRange.Header, r.Header)
			return (*clientv3.GetResponse)(a.ResponseRange).OpResponse(), nil
		case *pb.ResponseOp_ResponsePut:
			headed(&a.ResponsePut.Header, r.Header)
			return (*clientv3.PutResponse)(a.ResponsePut).OpResponse(), nil
		case *pb.ResponseOp_ResponseDeleteRange:
			headed(&a.ResponseDeleteRange.Header, r.Header)
			return (*clientv3.DeleteResponse)(a.ResponseDeleteRange).OpResponse(), nil
		}
	}
	return clientv3.OpResponse{}, &clientv3.Error{
		Method: "KV.Txn",
		Status: codes.DataLoss,
		Reason: "the answer to a transaction is incomplete",
	}
}
