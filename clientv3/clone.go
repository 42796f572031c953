package clientv3

import "go.etcd.io/etcd/api/v3/mvccpb"

// CloneKeyValue copies a key-value into memory of its own. Answers and events are decoded into
// small pieces of memory that neighbours share, so a key, a value, a *KeyValue or an *Event that a
// program keeps holds up to 16 KiB of memory beyond itself. Use it where that is too much: where
// many small ones are kept for long, each from another answer. Nil for nil.
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
