package clientv3_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

func TestCloneKeyValue(t *testing.T) {
	if clientv3.CloneKeyValue(nil) != nil {
		t.Error("nil became something")
	}
	kv := &mvccpb.KeyValue{Key: []byte("k"), Value: []byte("v"), CreateRevision: 1, ModRevision: 2, Version: 3, Lease: 4}
	kv.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 7))
	c := clientv3.CloneKeyValue(kv)
	if !proto.Equal(c, kv) {
		t.Errorf("%v became %v", kv, c)
	}
	clear(kv.Key)
	clear(kv.Value)
	_ = append(c.Key, 'x')
	if string(c.Key) != "k" || string(c.Value) != "v" {
		t.Errorf("the copy shares memory: %v", c)
	}
}

// TestKeptValue: one value of a large answer keeps a small part of it in memory, its
// copy nothing of it.
func TestKeptValue(t *testing.T) {
	c := clienttest.Shared(t)
	const n, size = 64, 128 << 10 // 8 MiB
	for i := range n {
		if _, err := c.Put(context.Background(), fmt.Sprint(t.Name(), i), string(make([]byte, size))); err != nil {
			t.Fatal(err)
		}
	}
	held := func(keep func(*mvccpb.KeyValue) any) int64 {
		before := heapInUse()
		r, err := c.Get(context.Background(), t.Name(), clientv3.WithPrefix())
		if err != nil || len(r.Kvs) != n {
			t.Fatalf("%d keys, %v", len(r.Kvs), err)
		}
		kept := keep(r.Kvs[n/2])
		r = nil
		after := heapInUse()
		runtime.KeepAlive(kept)
		return after - before
	}
	if b := held(func(kv *mvccpb.KeyValue) any { return kv.Value }); b > n*size/4 {
		t.Errorf("a value of %d bytes holds %d", size, b)
	}
	if b := held(func(kv *mvccpb.KeyValue) any { return clientv3.CloneKeyValue(kv) }); b > 3*size {
		t.Errorf("a copy of %d bytes holds %d", size, b)
	}
}

// heapInUse is what the heap holds after all garbage has gone, sync.Pools included.
func heapInUse() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
