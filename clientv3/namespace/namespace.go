// Package namespace shows a client one part of the key space as if it were all of it:
// keys that begin with a prefix, without that prefix.
//
//	cli.KV = namespace.NewKV(cli.KV, "my-prefix/")
//	cli.Watcher = namespace.NewWatcher(cli.Watcher, "my-prefix/")
//	cli.Lease = namespace.NewLease(cli.Lease, "my-prefix/")
//
// Then "abc" means the key "my-prefix/abc", in requests and in answers, and no range reaches beyond
// the prefix. The key that is the prefix itself has the empty name. Transactions (their comparisons
// too) and watches accept that name; other calls refuse an empty key, as etcd does
// (rpctypes.ErrEmptyKey). Revisions, leases and compactions are those of the whole cluster. An
// empty prefix changes nothing.
//
// A prefix is no protection: a program with the client can read keys outside of it. etcd's roles
// protect keys.
//
// Everything that this package returns is safe for concurrent use if the wrapped part is. It
// changes nothing in the wrapped part's answers, but shares values with them: do not change values
// if the wrapped part shares them with others, as a cache does.
package namespace

import "github.com/fairlead-go/fairlead/clientv3"

// space is a prefix, never an empty one.
type space string

func (s space) key(key []byte) []byte {
	return append(append(make([]byte, 0, len(s)+len(key)), s...), key...)
}

// end translates the end of a range. "\x00", the end of all keys, becomes the end of the prefix.
func (s space) end(end []byte) []byte {
	switch {
	case len(end) == 0:
		return end // a single key
	case len(end) == 1 && end[0] == 0:
		return []byte(clientv3.GetPrefixRangeEnd(string(s)))
	}
	return s.key(end)
}

// op translates an operation.
func (s space) op(op clientv3.Op) clientv3.Op {
	switch {
	case op.IsTxn():
		cmps, thenOps, elseOps := op.Txn()
		return clientv3.OpTxn(s.cmps(cmps), s.ops(thenOps), s.ops(elseOps))
	case op.IsGet(), op.IsPut(), op.IsDelete():
		op.WithRangeBytes(s.end(op.RangeBytes()))
		op.WithKeyBytes(s.key(op.KeyBytes()))
	}
	return op // of another kind: the error of the wrapped KV says what is wrong
}

func (s space) ops(ops []clientv3.Op) []clientv3.Op {
	out := make([]clientv3.Op, len(ops))
	for i, op := range ops {
		out[i] = s.op(op)
	}
	return out
}

func (s space) cmps(cmps []clientv3.Cmp) []clientv3.Cmp {
	out := make([]clientv3.Cmp, len(cmps))
	for i, cmp := range cmps {
		out[i] = cmp.Clone() // the caller may use its comparison again
		c := out[i].GetCompare()
		c.Key, c.RangeEnd = s.key(c.Key), s.end(c.RangeEnd)
	}
	return out
}
