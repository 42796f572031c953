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
		t.Error("the copy of nil is not nil")
	}
	kv := &mvccpb.KeyValue{
		Key:            []byte("k"),
		Value:          []byte("v"),
		CreateRevision: 1,
		ModRevision:    2,
		Version:        3,
		Lease:          4,
	}
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

// TestKeptValueHoldsLittleOfItsAnswer: a key-value that is kept of a large answer holds little of
// the rest. A copy of it holds nothing of the rest.
func TestKeptValueHoldsLittleOfItsAnswer(t *testing.T) {
	for _, c := range []struct{ n, size int }{{64, 128 << 10}, {1000, 4 << 10}, {1000, 100}} {
		t.Run(fmt.Sprintf("%d of %d B", c.n, c.size), func(t *testing.T) { keptValue(t, c.n, c.size) })
	}
}

func keptValue(t *testing.T, n, size int) {
	c := clienttest.Shared(t)
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
	const noise = 16 << 10 // other goroutines
	for what, keep := range map[string]func(*mvccpb.KeyValue) any{
		"a value":     func(kv *mvccpb.KeyValue) any { return kv.Value },
		"a key":       func(kv *mvccpb.KeyValue) any { return kv.Key },
		"a key-value": func(kv *mvccpb.KeyValue) any { return kv },
	} {
		if b := min(held(keep), held(keep), held(keep)); int(b) > size+16<<10+noise {
			t.Errorf("%s of %d bytes holds %d", what, size, b)
		}
	}
	clone := func(kv *mvccpb.KeyValue) any { return clientv3.CloneKeyValue(kv) }
	if b := min(held(clone), held(clone), held(clone)); int(b) > 3*size+noise {
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
