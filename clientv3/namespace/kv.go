package namespace

import (
	"context"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// NewKV returns a KV on the keys of kv that begin with prefix. Compact works on the
// whole cluster.
func NewKV(kv clientv3.KV, prefix string) clientv3.KV {
	if prefix == "" {
		return kv
	}
	return &nsKV{KV: kv, space: space(prefix)}
}

type nsKV struct {
	clientv3.KV
	space space
}

func (n *nsKV) Put(ctx context.Context, key, val string, opts ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	r, err := n.Do(ctx, clientv3.OpPut(key, val, opts...))
	return r.Put(), err
}

func (n *nsKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	r, err := n.Do(ctx, clientv3.OpGet(key, opts...))
	return r.Get(), err
}

func (n *nsKV) Delete(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	r, err := n.Do(ctx, clientv3.OpDelete(key, opts...))
	return r.Del(), err
}

// nameless reports whether op is on the empty key. The server, which gets the prefix instead, would
// accept it.
func (n *nsKV) nameless(op clientv3.Op) bool {
	return (op.IsGet() || op.IsPut() || op.IsDelete()) && len(op.KeyBytes()) == 0
}

func (n *nsKV) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	if n.nameless(op) {
		return clientv3.OpResponse{}, rpctypes.ErrEmptyKey
	}
	r, err := n.KV.Do(ctx, n.space.op(op))
	if err != nil {
		return clientv3.OpResponse{}, err
	}
	return n.space.stripResponse(r), nil
}

// GetStream is that of clientv3.KV. A stream that is neither read to its end nor cancelled keeps
// its goroutine, even when the client is closed.
func (n *nsKV) GetStream(ctx context.Context, key string, opts ...clientv3.OpOption) (clientv3.GetStreamChan, error) {
	op := clientv3.OpGet(key, opts...)
	if n.nameless(op) {
		return nil, rpctypes.ErrEmptyKey
	}
	op = n.space.op(op)
	// The options were applied to the short key; they must not be applied again.
	in, err := n.KV.GetStream(ctx, string(op.KeyBytes()), func(o *clientv3.Op) { *o = op })
	if err != nil {
		return nil, err
	}
	out := make(chan clientv3.RangeStreamResponse, 1)
	go func() {
		defer close(out)
		for r := range in {
			r.RangeResponse = n.space.stripRange(r.RangeResponse)
			select {
			case out <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (n *nsKV) Txn(ctx context.Context) clientv3.Txn {
	return &nsTxn{inner: n.KV.Txn(ctx), space: n.space}
}

type nsTxn struct {
	inner clientv3.Txn
	space space
}

func (t *nsTxn) If(cs ...clientv3.Cmp) clientv3.Txn {
	t.inner = t.inner.If(t.space.cmps(cs)...)
	return t
}

func (t *nsTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.inner = t.inner.Then(t.space.ops(ops)...)
	return t
}

func (t *nsTxn) Else(ops ...clientv3.Op) clientv3.Txn {
	t.inner = t.inner.Else(t.space.ops(ops)...)
	return t
}

func (t *nsTxn) Commit() (*clientv3.TxnResponse, error) {
	r, err := t.inner.Commit()
	if err != nil {
		return nil, err
	}
	return (*clientv3.TxnResponse)(t.space.stripTxn((*etcdserverpb.TxnResponse)(r))), nil
}
