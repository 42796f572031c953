package leasing

// A write becomes a transaction with guards.

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
)

const (
	// revoked is the value of a leasing key whose owner is to delete it. It is part of the
	// protocol.
	revoked = "REVOKE"
	// perTxn is how many leasing keys one transaction changes. serverOps is the server's default
	// limit: it counts the comparisons or the operations of a transaction, whichever are more, and
	// those of nested transactions.
	perTxn    = 60
	serverOps = 128
)

// guard is one condition of a write: that the leasing key of key is ours, or that there
// are no leasing keys from lk to end.
type guard struct {
	key string
	lk  string
	end string // "": only lk
	e   *entry // nil: there must be no leasing key
	in  history
}

func (g *guard) cmp() v3.Cmp {
	c := v3.CreateRevision(g.lk)
	switch {
	case g.e != nil:
		return v3.Compare(c, "=", g.e.fence)
	case g.end != "":
		// The comparison holds only for a range without keys.
		return v3.Compare(c, "=", 0).WithRange(g.end)
	}
	return v3.Compare(c, "=", 0)
}

// look is a get of the leasing keys because of which the guard does not hold.
func (g *guard) look() v3.Op {
	if g.end != "" {
		return v3.OpGet(g.lk, v3.WithRange(g.end))
	}
	return v3.OpGet(g.lk)
}

// revoke asks the owner to give the key up. It leaves a key without a lease alone, since that is no
// leasing key.
func revoke(lk string, then ...v3.Op) v3.Op {
	return v3.OpTxn(
		[]v3.Cmp{v3.Compare(v3.LeaseValue(lk), "!=", v3.NoLease), v3.Compare(v3.Value(lk), "!=", revoked)},
		append([]v3.Op{v3.OpPut(lk, revoked, v3.WithIgnoreLease())}, then...), then)
}

// request is a write, which is any operation but a get.
type request struct {
	op   v3.Op
	bare bool // a put without options
}

// attempt is one try of a write.
type attempt struct {
	request
	flat   bool    // op is a transaction without conditions
	ops    []v3.Op // op itself, or if flat its operations
	guards []guard
	owned  []int // indices of the guards with an entry
}

func newAttempt(r request) *attempt {
	a := &attempt{request: r, ops: []v3.Op{r.op}}
	if r.op.IsTxn() {
		// Not nested, there may be twice as many.
		if cmps, thenOps, elseOps := r.op.Txn(); len(cmps)+len(elseOps) == 0 {
			a.flat, a.ops = true, thenOps
		}
	}
	return a
}

// readBack is a get after the write, whose answer is the new value of an owned key.
func (a *attempt) readBack(key string) v3.Op {
	if a.bare {
		return v3.OpGet(key, v3.WithKeysOnly()) // the value is known
	}
	return v3.OpGet(key)
}

// txn is the transaction to be sent. If the guards do not hold, it reads the leasing keys in the
// way and asks the owners of single keys to give them up, unless there are too many.
func (a *attempt) txn() v3.Op {
	cmps := make([]v3.Cmp, len(a.guards))
	otherwise := make([]v3.Op, len(a.guards))
	for i := range a.guards {
		g := &a.guards[i]
		cmps[i], otherwise[i] = g.cmp(), g.look()
		if g.asks(len(a.guards)) {
			otherwise[i] = revoke(g.lk, otherwise[i])
		}
	}
	then := append(make([]v3.Op, 0, len(a.ops)+len(a.owned)), a.ops...)
	for _, i := range a.owned {
		then = append(then, a.readBack(a.guards[i].key))
	}
	return v3.OpTxn(cmps, then, otherwise)
}

// asks reports whether the transaction itself asks the owner to give the key up.
func (g *guard) asks(guards int) bool { return g.end == "" && g.e == nil && guards <= perTxn }

// response returns the response to the operation itself, with the whole header.
func (a *attempt) response(list []*pb.ResponseOp, header *pb.ResponseHeader) v3.OpResponse {
	if a.flat {
		return (*v3.TxnResponse)(&pb.TxnResponse{Header: header, Succeeded: true, Responses: list}).OpResponse()
	}
	// The wrapped KV's response may be shared with others.
	if put := list[0].GetResponsePut(); put != nil {
		return (*v3.PutResponse)(&pb.PutResponse{Header: header, PrevKv: put.PrevKv}).OpResponse()
	}
	if del := list[0].GetResponseDeleteRange(); del != nil {
		return (*v3.DeleteResponse)(
			&pb.DeleteRangeResponse{Header: header, Deleted: del.Deleted, PrevKvs: del.PrevKvs},
		).OpResponse()
	}
	txn := list[0].GetResponseTxn()
	return (*v3.TxnResponse)(
		&pb.TxnResponse{Header: header, Succeeded: txn.GetSucceeded(), Responses: txn.GetResponses()},
	).OpResponse()
}
