package clientv3

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/retry"
)

// Responses of KV. They are the wire messages under names of this package; their
// byte slices belong to the caller.
type (
	CompactResponse pb.CompactionResponse
	PutResponse     pb.PutResponse
	GetResponse     pb.RangeResponse
	DeleteResponse  pb.DeleteRangeResponse
	TxnResponse     pb.TxnResponse
)

// KV reads and writes keys. Reads are linearizable unless [WithSerializable] says
// otherwise. All methods are safe for concurrent use and honour their context.
//
// Reads are repeated on another member when one fails. Writes are repeated only
// when they provably were not executed; [OutcomeUnknown] says whether a write that failed may have
// been executed, or may yet be.
type KV interface {
	// Put sets a key. Options: WithLease, WithPrevKV, WithIgnoreValue,
	// WithIgnoreLease. An empty key is rpctypes.ErrEmptyKey.
	Put(ctx context.Context, key, val string, opts ...OpOption) (*PutResponse, error)

	// Get reads one key, or with WithRange, WithPrefix or WithFromKey a range of
	// keys. A key that does not exist is no error: the response has no Kvs.
	Get(ctx context.Context, key string, opts ...OpOption) (*GetResponse, error)

	// GetStream reads as Get does and delivers the result in chunks, as the server
	// reads it. All chunks are of one revision. The channel is closed after the last
	// one, which alone carries Header, More and Count; after a failure the last one
	// has a nil RangeResponse and its Err says why. The channel must be read to its
	// end or ctx cancelled. From a server that cannot stream (before 3.7) the error has
	// code Unimplemented; Client.Range reads from those too.
	GetStream(ctx context.Context, key string, opts ...OpOption) (GetStreamChan, error)

	// Delete removes one key, or with WithRange, WithPrefix or WithFromKey a range
	// of keys.
	Delete(ctx context.Context, key string, opts ...OpOption) (*DeleteResponse, error)

	// Compact removes the history before rev: older revisions cannot be read or
	// watched from any more.
	Compact(ctx context.Context, rev int64, opts ...CompactOption) (*CompactResponse, error)

	// Do executes one Op.
	Do(ctx context.Context, op Op) (OpResponse, error)

	// Txn begins a transaction.
	Txn(ctx context.Context) Txn
}

// OpResponse is the response to an Op; the one of its fields that fits the Op is
// set.
type OpResponse struct {
	put *PutResponse
	get *GetResponse
	del *DeleteResponse
	txn *TxnResponse
}

// Put returns the response to a put, else nil.
func (op OpResponse) Put() *PutResponse { return op.put }

// Get returns the response to a get, else nil.
func (op OpResponse) Get() *GetResponse { return op.get }

// Del returns the response to a delete, else nil.
func (op OpResponse) Del() *DeleteResponse { return op.del }

// Txn returns the response to a transaction, else nil.
func (op OpResponse) Txn() *TxnResponse { return op.txn }

// OpResponse wraps the response.
func (resp *PutResponse) OpResponse() OpResponse { return OpResponse{put: resp} }

// OpResponse wraps the response.
func (resp *GetResponse) OpResponse() OpResponse { return OpResponse{get: resp} }

// OpResponse wraps the response.
func (resp *DeleteResponse) OpResponse() OpResponse { return OpResponse{del: resp} }

// OpResponse wraps the response.
func (resp *TxnResponse) OpResponse() OpResponse { return OpResponse{txn: resp} }

type kv struct {
	c       *Client     // nil if made without one
	own     *retry.Conn // nil over a client that is not ours
	remote  pb.KVClient
	callOpt []grpc.CallOption
}

// NewKV returns a KV over the client's connection.
func NewKV(c *Client) KV {
	k := &kv{c: c, remote: RetryKVClient(c)}
	if c.connected() {
		k.own = c.link.conn
	}
	return k
}

// NewKVFromKVClient returns a KV over any protobuf client; c gives the call
// options and may be nil.
func NewKVFromKVClient(remote pb.KVClient, c *Client) KV {
	return &kv{c: c, remote: remote, callOpt: c.callOptions()}
}

func (kv *kv) Put(ctx context.Context, key, val string, opts ...OpOption) (*PutResponse, error) {
	op := OpPut(key, val, opts...)
	if err := ready(ctx, "KV.Put", &op); err != nil {
		return nil, err
	}
	return kv.put(ctx, &op)
}

func (kv *kv) Get(ctx context.Context, key string, opts ...OpOption) (*GetResponse, error) {
	op := OpGet(key, opts...)
	if err := ready(ctx, "KV.Range", &op); err != nil {
		return nil, err
	}
	return kv.get(ctx, &op)
}

func (kv *kv) Delete(ctx context.Context, key string, opts ...OpOption) (*DeleteResponse, error) {
	op := OpDelete(key, opts...)
	if err := ready(ctx, "KV.DeleteRange", &op); err != nil {
		return nil, err
	}
	return kv.delete(ctx, &op)
}

func (kv *kv) Compact(ctx context.Context, rev int64, opts ...CompactOption) (*CompactResponse, error) {
	if ctx == nil {
		return nil, errNilContext("KV.Compact")
	}
	op := OpCompact(rev, opts...)
	resp, err := kv.remote.Compact(ctx, op.toRequest(), kv.callOpt...)
	if err != nil {
		return nil, ContextError(ctx, err)
	}
	return (*CompactResponse)(resp), nil
}

func (kv *kv) Txn(ctx context.Context) Txn { return &txn{kv: kv, ctx: ctx} }

func (kv *kv) Do(ctx context.Context, op Op) (OpResponse, error) {
	if err := ready(ctx, "KV.Do", &op); err != nil {
		return OpResponse{}, err
	}
	switch op.t {
	case tRange:
		resp, err := kv.get(ctx, &op)
		return OpResponse{get: resp}, err
	case tPut:
		resp, err := kv.put(ctx, &op)
		return OpResponse{put: resp}, err
	case tDeleteRange:
		resp, err := kv.delete(ctx, &op)
		return OpResponse{del: resp}, err
	}
	resp, err := kv.txn(ctx, op.toTxnRequest())
	return OpResponse{txn: resp}, err
}

// ready says why op cannot be sent; nil if it can.
func ready(ctx context.Context, method string, op *Op) error {
	if ctx == nil {
		return errNilContext(method)
	}
	if err := op.invalid(); err != nil {
		if e, ok := err.(*etcderr.Error); ok {
			named := *e
			named.Method = method
			return &named
		}
		return err
	}
	if op.t != tTxn && len(op.key) == 0 {
		return rpctypes.ErrEmptyKey // the server's first check; no need to ask it
	}
	return nil
}

func (kv *kv) get(ctx context.Context, op *Op) (*GetResponse, error) {
	if len(op.end) > 0 && retry.Named(ctx, op.key) {
		return nil, ctx.Err()
	}
	if kv.own != nil {
		r := &retry.Range{}
		op.fillRangeRequest(&r.Request)
		resp, err := kv.own.Range(ctx, r)
		return (*GetResponse)(resp), err
	}
	resp, err := kv.remote.Range(ctx, op.toRangeRequest(), kv.callOpt...)
	if err != nil {
		return nil, ContextError(ctx, err)
	}
	return (*GetResponse)(resp), nil
}

func (kv *kv) put(ctx context.Context, op *Op) (*PutResponse, error) {
	if kv.own != nil {
		p := &retry.Put{}
		op.fillPutRequest(&p.Request)
		resp, err := kv.own.Put(ctx, p)
		return (*PutResponse)(resp), err
	}
	resp, err := kv.remote.Put(ctx, op.toPutRequest(), kv.callOpt...)
	if err != nil {
		return nil, ContextError(ctx, err)
	}
	return (*PutResponse)(resp), nil
}

func (kv *kv) delete(ctx context.Context, op *Op) (*DeleteResponse, error) {
	resp, err := kv.remote.DeleteRange(ctx, op.toDeleteRequest(), kv.callOpt...)
	if err != nil {
		return nil, ContextError(ctx, err)
	}
	return (*DeleteResponse)(resp), nil
}

func (kv *kv) txn(ctx context.Context, r *pb.TxnRequest) (*TxnResponse, error) {
	resp, err := kv.remote.Txn(ctx, r, kv.callOpt...)
	if err != nil {
		return nil, ContextError(ctx, err)
	}
	return (*TxnResponse)(resp), nil
}

// CompactOp is a compaction.
type CompactOp struct {
	revision int64
	physical bool
}

// CompactOption changes what Compact does.
type CompactOption func(*CompactOp)

// OpCompact returns a compaction of the history before rev.
func OpCompact(rev int64, opts ...CompactOption) CompactOp {
	op := CompactOp{revision: rev}
	for _, o := range opts {
		if o != nil {
			o(&op)
		}
	}
	return op
}

func (op CompactOp) toRequest() *pb.CompactionRequest {
	return &pb.CompactionRequest{Revision: op.revision, Physical: op.physical}
}

// WithCompactPhysical makes Compact return only when the compacted entries are
// gone from the server's database.
func WithCompactPhysical() CompactOption { return func(op *CompactOp) { op.physical = true } }
