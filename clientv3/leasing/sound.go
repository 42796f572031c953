package leasing

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	v3 "github.com/fairlead-go/fairlead/clientv3"
)

// maxOps is how many operations or comparisons a list of a transaction may have, as servers have it
// by default.
const maxOps = 128

// sound reports whether a server certainly takes a transaction, which it looks at as a whole: also
// at the branch that is not chosen. Where this is in doubt the server has to say.
func sound(op *v3.Op) bool {
	_, ok := soundTxn(op)
	return ok
}

// changes are the spans that a branch puts or deletes.
type changes struct{ puts, deletes []span }

func (c *changes) add(more changes) {
	c.puts = append(c.puts, more.puts...)
	c.deletes = append(c.deletes, more.deletes...)
}

// meets is whether a key is put twice, or put and deleted.
func (c *changes) meets(more changes) bool {
	for _, p := range c.puts {
		if p.among(more.puts) || p.among(more.deletes) {
			return true
		}
	}
	for _, p := range more.puts {
		if p.among(c.deletes) {
			return true
		}
	}
	return false
}

// among is whether a single key is in some of the spans.
func (s span) among(list []span) bool {
	for _, other := range list {
		if other.key == s.key || other.end != "" && other.covers(s.key) {
			return true
		}
	}
	return false
}

func soundTxn(op *v3.Op) (changes, bool) {
	cmps, thenOps, elseOps := op.Txn()
	if len(cmps) > maxOps || len(thenOps) > maxOps || len(elseOps) > maxOps {
		return changes{}, false
	}
	for i := range cmps {
		if len(cmps[i].GetCompare().GetKey()) == 0 {
			return changes{}, false
		}
	}
	one, ok := soundList(thenOps)
	if !ok {
		return changes{}, false
	}
	other, ok := soundList(elseOps)
	one.add(other)
	return one, ok
}

func soundList(ops []v3.Op) (changes, bool) {
	var all changes
	for i := range ops {
		more, ok := soundOp(&ops[i])
		if !ok || all.meets(more) {
			return changes{}, false
		}
		all.add(more)
	}
	return all, true
}

func soundOp(op *v3.Op) (changes, bool) {
	if op.IsTxn() {
		return soundTxn(op)
	}
	if len(op.KeyBytes()) == 0 {
		return changes{}, false
	}
	s := span{string(op.KeyBytes()), string(op.RangeBytes())}
	switch {
	case op.IsPut():
		var r pb.PutRequest
		op.PutRequestTo(&r)
		bad := r.IgnoreValue && len(r.Value) > 0 || r.IgnoreLease && r.Lease != 0
		return changes{puts: []span{s}}, !bad
	case op.IsDelete():
		return changes{deletes: []span{s}}, true
	}
	return changes{}, op.IsGet() && op.IsSortOptionValid()
}
