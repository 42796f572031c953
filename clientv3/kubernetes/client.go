// Package kubernetes has the few operations of etcd that Kubernetes needs, as one interface.
//
// They use ranges and transactions that all servers since 3.4 know. Reads are linearizable, or of a
// given revision. A put or delete may have been executed if clientv3.OutcomeUnknown holds for its
// error. Repeated with the same expected revision, it is executed at most once.
//
// A Client is safe for concurrent use.
package kubernetes

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Client is a clientv3.Client with the methods of [Interface]. Its Get is that of Interface;
// clientv3's is Client.KV.Get.
type Client struct {
	*clientv3.Client
	// Kubernetes is the Client itself, as an Interface, unless a program replaces it, for instance
	// in tests.
	Kubernetes Interface
}

// New makes a client, as clientv3.New does. Close releases it.
func New(cfg clientv3.Config) (*Client, error) {
	c, err := clientv3.New(cfg)
	if err != nil {
		return nil, err
	}
	k := &Client{Client: c}
	k.Kubernetes = k
	return k, nil
}

// Get implements Interface.
func (k Client) Get(ctx context.Context, key string, opts GetOptions) (resp GetResponse, err error) {
	r, err := k.KV.Get(ctx, key, clientv3.WithRev(opts.Revision))
	if err != nil {
		return resp, err
	}
	resp.Revision = r.Header.GetRevision()
	resp.KV = first(r.Kvs)
	return resp, nil
}

// List implements Interface.
func (k Client) List(ctx context.Context, prefix string, opts ListOptions) (resp ListResponse, err error) {
	// A list begins at its prefix or later. A list of all keys begins at "\x00", the least key.
	from := max(prefix, opts.Continue, "\x00")
	r, err := k.KV.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix)),
		clientv3.WithLimit(opts.Limit), clientv3.WithRev(opts.Revision))
	if err != nil {
		return resp, err
	}
	return ListResponse{Kvs: r.Kvs, Count: r.Count, Revision: r.Header.GetRevision()}, nil
}

// Count implements Interface.
func (k Client) Count(ctx context.Context, prefix string, _ CountOptions) (int64, error) {
	r, err := k.KV.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return r.Count, nil
}

// OptimisticPut implements Interface.
func (k Client) OptimisticPut(
	ctx context.Context,
	key string,
	value []byte,
	expectedRevision int64,
	opts PutOptions,
) (resp PutResponse, err error) {
	put := clientv3.OpPut(key, string(value), clientv3.WithLease(opts.LeaseID))
	r, err := k.guarded(ctx, key, expectedRevision, put, opts.GetOnFailure)
	if err != nil {
		return resp, err
	}
	return PutResponse{KV: current(r), Succeeded: r.Succeeded, Revision: r.Header.GetRevision()}, nil
}

// OptimisticDelete implements Interface.
func (k Client) OptimisticDelete(
	ctx context.Context,
	key string,
	expectedRevision int64,
	opts DeleteOptions,
) (resp DeleteResponse, err error) {
	r, err := k.guarded(ctx, key, expectedRevision, clientv3.OpDelete(key), opts.GetOnFailure)
	if err != nil {
		return resp, err
	}
	return DeleteResponse{KV: current(r), Succeeded: r.Succeeded, Revision: r.Header.GetRevision()}, nil
}

// guarded executes op if the key was last modified at rev; 0 stands for a key that does not exist.
// Otherwise it reads the key if it is asked to.
func (k Client) guarded(
	ctx context.Context,
	key string,
	rev int64,
	op clientv3.Op,
	read bool,
) (*clientv3.TxnResponse, error) {
	txn := k.KV.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", rev)).Then(op)
	if read {
		txn = txn.Else(clientv3.OpGet(key))
	}
	return txn.Commit()
}

// current returns the key-value because of which a transaction did not succeed, if it was read.
func current(r *clientv3.TxnResponse) *mvccpb.KeyValue {
	for _, op := range r.Responses {
		if get, ok := op.Response.(*pb.ResponseOp_ResponseRange); ok {
			return first(get.ResponseRange.Kvs)
		}
	}
	return nil
}

func first(kvs []*mvccpb.KeyValue) *mvccpb.KeyValue {
	if len(kvs) == 0 {
		return nil
	}
	return kvs[0]
}
