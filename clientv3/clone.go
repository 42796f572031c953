package clientv3

import "go.etcd.io/etcd/api/v3/mvccpb"

// CloneKeyValue copies a key-value into memory of its own: use it for what a program
// keeps for long of an answer or event that it otherwise drops. Answers are decoded into
// blocks of memory that several of their keys and values share, so a key, a value or a
// *KeyValue that is kept holds on to up to 1/16 of the answer that it came with, or some
// 512 KiB if that is more; of an answer with one key it holds on to that key-value alone.
// Nil for nil.
func CloneKeyValue(kv *mvccpb.KeyValue) *mvccpb.KeyValue {
	if kv == nil {
		return nil
	}
	b := make([]byte, len(kv.Key)+len(kv.Value))
	n := copy(b, kv.Key)
	copy(b[n:], kv.Value)
	c := &mvccpb.KeyValue{
		Key: b[:n:n], Value: b[n:],
		CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision, Version: kv.Version, Lease: kv.Lease,
	}
	if u := kv.ProtoReflect().GetUnknown(); len(u) > 0 {
		c.ProtoReflect().SetUnknown(append([]byte(nil), u...))
	}
	return c
}
