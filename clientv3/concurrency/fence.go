package concurrency

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
)

// Owner may own something: a [Mutex], an [Election] or a [Claim].
type Owner interface {
	// IsOwner returns a comparison that holds in a transaction while the owner owns.
	IsOwner() v3.Cmp
	// Fence returns the fencing token, 0 without ownership.
	Fence() int64
	// Context ends with the ownership.
	Context() context.Context
}

// Guard returns a transaction that is executed only while the owner owns, whatever this process
// believes; else Commit returns [ErrNotOwner] and nothing is executed. Use it like any other
// transaction: If, Then and Else are the caller's.
//
// The transaction is wrapped in another one, so it is nested one level deeper.
func Guard(ctx context.Context, kv v3.KV, o Owner) v3.Txn {
	return &guarded{ctx: ctx, kv: kv, owner: o}
}

type guarded struct {
	ctx         context.Context
	kv          v3.KV
	owner       Owner
	cmps        []v3.Cmp
	then, other []v3.Op
}

func (g *guarded) If(cs ...v3.Cmp) v3.Txn   { g.cmps = append(g.cmps, cs...); return g }
func (g *guarded) Then(ops ...v3.Op) v3.Txn { g.then = append(g.then, ops...); return g }
func (g *guarded) Else(ops ...v3.Op) v3.Txn { g.other = append(g.other, ops...); return g }

func (g *guarded) Commit() (*v3.TxnResponse, error) {
	r, err := g.kv.Txn(g.ctx).If(g.owner.IsOwner()).Then(v3.OpTxn(g.cmps, g.then, g.other)).Commit()
	if err != nil {
		return nil, err
	}
	if !r.Succeeded {
		return nil, ErrNotOwner
	}
	inner := r.Responses[0].GetResponseTxn()
	return (*v3.TxnResponse)(
		&pb.TxnResponse{Header: r.Header, Succeeded: inner.GetSucceeded(), Responses: inner.GetResponses()},
	), nil
}
