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

// WithWrites lets concurrent puts and deletes of single keys travel together too, if they have
// no options. This is what changes for them:
//
//   - Writes that travelled together have one revision: their responses have the same, a watcher
//     is given their events in one response, and nobody sees a state between them.
//   - They are executed all or none. If the answer is lost, the outcome is unknown for all of
//     them (clientv3.OutcomeUnknown), and clientv3.WithRepeat in one's context changes nothing.
//     A transaction that was provably not executed, for instance because one of its writers
//     lacks the permission for its key, is repeated singly. One that lost a caller to its context
//     is not sent again: the other writes are repeated singly then, if it was not executed.
//   - A large value delays those that travel with it. At most 1 MiB of keys and values travels
//     together.
//
// As without it, a write that began after another one had returned is executed after it, and the
// order of writes that are under way at the same time is not defined. A key is
// written at most once in a transaction. Writes with options (a lease, the previous value)
// travel alone.
func WithWrites() Option { return func(k *kv) { k.writes = newQueue(k.KV, true) } }

// NewKV returns a KV over another one, usually a Client, whose concurrent operations travel
// together; see the package comment. It is safe for concurrent use. It has no goroutine
// while no operation is under way and needs no Close.
//
// Operations that travel together, or might have, are executed by below's Do, all others by the
// method that was called. namespace.NewKV and the like can be below or above.
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

// Get implements clientv3.KV.
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

// Do implements clientv3.KV.
func (k *kv) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	if !op.IsGet() || len(op.KeyBytes()) == 0 || !plain(&op) || !mixes(ctx) {
		return k.KV.Do(ctx, op)
	}
	return k.read(&op).do(ctx, &op)
}

// Put implements clientv3.KV.
func (k *kv) Put(ctx context.Context, key, val string, opts ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	if k.writes == nil || len(opts) > 0 || key == "" || !mixes(ctx) {
		return k.KV.Put(ctx, key, val, opts...)
	}
	op := clientv3.OpPut(key, val)
	r, err := k.writes.do(ctx, &op)
	return r.Put(), err
}

// Delete implements clientv3.KV.
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

// plain: a read of the present value of one key. A past revision may be refused, as
// compacted or as not there yet, and a refusal costs all that travel with it a second request.
func plain(op *clientv3.Op) bool {
	return op.RangeBytes() == nil && op.Rev() == 0 && !op.IsSortSet()
}

// mixes: the context asks for nothing that the server would notice. Metadata can change how
// a request is treated, so it is sent with nobody else's.
func mixes(ctx context.Context) bool {
	if ctx == nil {
		return false // below has the error for it
	}
	_, has := metadata.FromOutgoingContext(ctx)
	return !has
}

// single executes one operation as it would have been without this package.
func single(ctx context.Context, below clientv3.KV, op *clientv3.Op) (clientv3.OpResponse, error) {
	return below.Do(ctx, *op)
}

// headed gives an answer out of a transaction the header of the transaction; a server fills in
// the revision at most.
func headed(h **pb.ResponseHeader, from *pb.ResponseHeader) {
	if *h == nil {
		*h = &pb.ResponseHeader{}
	}
	(*h).ClusterId, (*h).MemberId = from.GetClusterId(), from.GetMemberId()
	(*h).Revision, (*h).RaftTerm = from.GetRevision(), from.GetRaftTerm()
}

// answer is the response to the operation in place i of a transaction.
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
