package follow_test

import (
	"context"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/follow"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// Whoever opens a watch on a member that stands still can look at other things, and can leave.
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
		t.Fatal("a member that stands still has confirmed a watch")
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
