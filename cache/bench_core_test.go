package cache

import (
	"context"
	"fmt"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
)

// still is a feed with n keys and without etcd.
func still(n int) *feed {
	c := &Cache{historyEvents: DefaultHistoryEvents, historyBytes: DefaultHistoryBytes}
	f := newFeed(c, "p/")
	found := new(tree)
	for i := range n {
		key := fmt.Sprintf("p/%05d", i)
		found.Set(key, own(&mvccpb.KeyValue{Key: []byte(key), Value: make([]byte, 256), ModRevision: int64(i + 2)}))
	}
	f.replace(found, &pb.ResponseHeader{Revision: int64(n + 2)}, false, time.Now())
	return f
}

func putAt(f *feed, i int) *clientv3.WatchResponse {
	rev := f.core.rev + 1
	kv := &mvccpb.KeyValue{Key: fmt.Appendf(nil, "p/%05d", i), Value: make([]byte, 256), ModRevision: rev}
	return &clientv3.WatchResponse{Header: &pb.ResponseHeader{Revision: rev}, Events: []*clientv3.Event{{Kv: kv}}}
}

// BenchmarkApply measures what one event costs the copy: the tree, the history, and publishing.
func BenchmarkApply(b *testing.B) {
	f := still(10_000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		f.take(putAt(f, i%10_000))
		i += 7919
	}
}

// BenchmarkFanOut measures what one event costs when it is delivered to so many watches.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := still(1000)
			var watches []*local
			for range n {
				op := clientv3.OpWatch("p/", clientv3.WithPrefix())
				w := newLocal(context.Background(), &op, prefixSpan("p/"))
				if !f.hub.add(w, 0) {
					b.Fatal("not added")
				}
				watches = append(watches, w)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				f.take(putAt(f, i%1000))
				for _, w := range watches {
					<-w.ch
				}
			}
			f.hub.close()
		})
	}
}
