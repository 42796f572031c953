// Package namespace shows a client one part of the key space as if it were all of it:
// keys that begin with a prefix, without that prefix.
//
//	cli.KV = namespace.NewKV(cli.KV, "my-prefix/")
//	cli.Watcher = namespace.NewWatcher(cli.Watcher, "my-prefix/")
//	cli.Lease = namespace.NewLease(cli.Lease, "my-prefix/")
//
// Then "abc" means the key "my-prefix/abc", in requests and in answers, and no range
// reaches beyond the prefix. The key that is the prefix itself is outside: its name
// would be empty, and etcd knows no empty keys (rpctypes.ErrEmptyKey). Revisions,
// leases and compactions are those of the whole cluster. An empty prefix changes
// nothing.
//
// A prefix is no protection: whoever may use the client may read around it; etcd's
// roles protect keys.
//
// What this package returns is safe for concurrent use if what it wraps is.
package namespace

import (
	"bytes"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// space is a prefix, never an empty one.
type space string

func (s space) key(key []byte) []byte {
	return append(append(make([]byte, 0, len(s)+len(key)), s...), key...)
}

// end translates the end of a range. "\x00" stands for the end of all keys, here for
// that of the prefix.
func (s space) end(end []byte) []byte {
	switch {
	case len(end) == 0:
		return end // a single key
	case len(end) == 1 && end[0] == 0:
		return []byte(clientv3.GetPrefixRangeEnd(string(s)))
	}
	return s.key(end)
}

// op translates an operation. An empty key has to be refused here: with the prefix
// before it the server would take it.
func (s space) op(op clientv3.Op) (clientv3.Op, error) {
	if op.IsTxn() {
		cmps, thenOps, elseOps := op.Txn()
		cmps, err := s.cmps(cmps)
		if err != nil {
			return op, err
		}
		if thenOps, err = s.ops(thenOps); err != nil {
			return op, err
		}
		if elseOps, err = s.ops(elseOps); err != nil {
			return op, err
		}
		return clientv3.OpTxn(cmps, thenOps, elseOps), nil
	}
	if !op.IsGet() && !op.IsPut() && !op.IsDelete() {
		return op, nil // the wrapped KV says what is wrong with it
	}
	if len(op.KeyBytes()) == 0 {
		return op, rpctypes.ErrEmptyKey
	}
	op.WithRangeBytes(s.end(op.RangeBytes()))
	op.WithKeyBytes(s.key(op.KeyBytes()))
	return op, nil
}

func (s space) ops(ops []clientv3.Op) ([]clientv3.Op, error) {
	out := make([]clientv3.Op, len(ops))
	for i, op := range ops {
		var err error
		if out[i], err = s.op(op); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s space) cmps(cmps []clientv3.Cmp) ([]clientv3.Cmp, error) {
	out := make([]clientv3.Cmp, len(cmps))
	for i, cmp := range cmps {
		out[i] = cmp.Clone() // the caller may use its own again
		c := out[i].GetCompare()
		if len(c.Key) == 0 {
			return nil, rpctypes.ErrEmptyKey
		}
		c.Key, c.RangeEnd = s.key(c.Key), s.end(c.RangeEnd)
	}
	return out, nil
}

// strip removes the prefix from a key of an answer, in place: answers belong to the
// caller.
func (s space) strip(kv *mvccpb.KeyValue) {
	if kv != nil {
		kv.Key = bytes.TrimPrefix(kv.Key, []byte(s))
	}
}

func (s space) stripAll(kvs []*mvccpb.KeyValue) {
	for _, kv := range kvs {
		s.strip(kv)
	}
}

func (s space) stripTxn(r *etcdserverpb.TxnResponse) {
	for _, op := range r.GetResponses() {
		s.stripAll(op.GetResponseRange().GetKvs())
		s.strip(op.GetResponsePut().GetPrevKv())
		s.stripAll(op.GetResponseDeleteRange().GetPrevKvs())
		s.stripTxn(op.GetResponseTxn())
	}
}

func (s space) stripResponse(r clientv3.OpResponse) {
	if get := r.Get(); get != nil {
		s.stripAll(get.Kvs)
	}
	if put := r.Put(); put != nil {
		s.strip(put.PrevKv)
	}
	if del := r.Del(); del != nil {
		s.stripAll(del.PrevKvs)
	}
	s.stripTxn((*etcdserverpb.TxnResponse)(r.Txn()))
}
