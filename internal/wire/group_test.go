package wire

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"unsafe"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// TestSizesThatGroupsArePlannedWith: the constants are not smaller than the structs.
func TestSizesThatGroupsArePlannedWith(t *testing.T) {
	if n := unsafe.Sizeof(mvccpb.KeyValue{}); n > kvSize {
		t.Errorf("a key-value has %d bytes", n)
	}
	if n := unsafe.Sizeof(event{}); n > eventSize {
		t.Errorf("an event has %d bytes", n)
	}
}

// TestKeptValueHoldsLittleElse: a key-value or event that is kept holds at most 16 KiB of memory
// beyond itself.
func TestKeptValueHoldsLittleElse(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	sizes := map[string]func() int{
		"empty":      func() int { return 0 },
		"100 B":      func() int { return 100 },
		"256 B":      func() int { return 256 },
		"4 KB":       func() int { return 4 << 10 },
		"3 KB":       func() int { return 3 << 10 },
		"20 KB":      func() int { return 20 << 10 },
		"up to 1 KB": func() int { return r.IntN(1 << 10) },
		"up to 8 KB": func() int { return r.IntN(8 << 10) },
		"some large": func() int {
			if r.IntN(10) == 0 {
				return 5 << 10
			}
			return 20
		},
	}
	kv := func(i, size int) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{
			Key:            fmt.Appendf(nil, "some/key/%06d", i),
			Value:          make([]byte, size),
			ModRevision:    int64(1 << 20),
			CreateRevision: 1 << 20,
		}
	}
	const n = 500
	kinds := map[string]struct {
		message func(size func() int) proto.Message
		keep    func(m proto.Message, i int) (kept any, size int)
	}{
		"range": {
			func(size func() int) proto.Message {
				m := &pb.RangeResponse{}
				for i := range n {
					m.Kvs = append(m.Kvs, kv(i, size()))
				}
				return m
			},
			func(m proto.Message, i int) (any, int) { x := m.(*pb.RangeResponse).Kvs[i]; return x, proto.Size(x) },
		},
		"watch": {
			func(size func() int) proto.Message {
				m := &pb.WatchResponse{}
				for i := range n {
					m.Events = append(m.Events, &mvccpb.Event{Kv: kv(i, size())})
				}
				return m
			},
			func(m proto.Message, i int) (any, int) { x := m.(*pb.WatchResponse).Events[i]; return x, proto.Size(x) },
		},
		"watch with previous": {
			func(size func() int) proto.Message {
				m := &pb.WatchResponse{}
				for i := range n {
					m.Events = append(m.Events, &mvccpb.Event{Kv: kv(i, size()), PrevKv: kv(i, size())})
				}
				return m
			},
			func(m proto.Message, i int) (any, int) { x := m.(*pb.WatchResponse).Events[i]; return x, proto.Size(x) },
		},
		"transaction": {
			func(size func() int) proto.Message {
				m := &pb.TxnResponse{}
				for i := range 128 {
					m.Responses = append(m.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{
						ResponseRange: &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{kv(i, size())}},
					}})
				}
				return m
			},
			func(m proto.Message, i int) (any, int) {
				x := m.(*pb.TxnResponse).Responses[i%128].GetResponseRange().Kvs[0]
				return x, proto.Size(x)
			},
		},
	}
	for kind, k := range kinds {
		for name, size := range sizes {
			m := k.message(size)
			data, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			in := split(data, 16<<10)
			const decodes = 50
			kept := make([]any, decodes)
			own := 0
			before := heap()
			for i := range kept {
				out := m.ProtoReflect().New().Interface()
				if !decode(in, out) {
					t.Fatal("not in the usual form")
				}
				x, size := k.keep(out, r.IntN(n))
				kept[i] = x
				own += size
			}
			held := (heap() - before - own) / decodes
			runtime.KeepAlive(kept)
			if held > 16<<10 {
				t.Errorf("%s, %s: each holds %d bytes beyond itself", kind, name, held)
			}
		}
	}
}

func heap() int {
	for range 2 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
