package follow_test

import (
	"context"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/follow"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// A caller that opens a watch on a frozen member can do other work, and can leave.
func TestOpenDoesNotWait(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	member := cluster.Members()[0]
	c := clienttest.Dial(t, cluster.Endpoints()...)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	put, err := c.Put(ctx, "k", "v")
	if err != nil {
		t.Fatal(err)
	}
	if err := member.Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { member.Thaw() })
	follow.Open(ctx, c, "other").Close()
	w := follow.Open(ctx, c, "k", clientv3.WithRev(put.Header.Revision))
	defer w.Close()
	select {
	case <-w.Opened:
		t.Fatal("a frozen member has confirmed a watch")
	default:
	}
	if err := member.Thaw(); err != nil {
		t.Fatal(err)
	}
	select {
	case changes := <-w.Opened:
		if r := <-changes; len(r.Events) != 1 || string(r.Events[0].Kv.Value) != "v" {
			t.Errorf("%+v", r)
		}
	case <-ctx.Done():
		t.Fatal("not opened")
	}
}

// Reached says up to which revision a response brings its watch. The header's revision says that
// only in a notification of progress, since it is the server's.
func TestReached(t *testing.T) {
	at := func(revs ...int64) (list []*clientv3.Event) {
		for _, rev := range revs {
			list = append(list, &clientv3.Event{Kv: &mvccpb.KeyValue{ModRevision: rev}})
		}
		return list
	}
	h := &etcdserverpb.ResponseHeader{Revision: 100}
	for name, c := range map[string]struct {
		r    clientv3.WatchResponse
		want int64
	}{
		"created":  {clientv3.WatchResponse{Header: h, Created: true}, 0},
		"events":   {clientv3.WatchResponse{Header: h, Events: at(3, 3, 7)}, 7},
		"progress": {clientv3.WatchResponse{Header: h}, 100},
		"its end":  {clientv3.WatchResponse{Header: h, Canceled: true}, 0},
	} {
		if got := follow.Reached(&c.r); got != c.want {
			t.Errorf("%s: %d, not %d", name, got, c.want)
		}
	}
}
