package clientv3_test

import (
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestProgressAfterCompaction: a watch that ended by a compaction does not keep the others on its
// stream from progress.
func TestProgressAfterCompaction(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := clienttest.Within(t, clienttest.Long)
	var rev int64
	for range 5 {
		r, err := c.Put(ctx, "k", "v")
		if err != nil {
			t.Fatal(err)
		}
		rev = r.Header.Revision
	}
	if _, err := c.Compact(ctx, rev); err != nil {
		t.Fatal(err)
	}
	living := c.Watch(ctx, "other", clientv3.WithCreatedNotify())
	clienttest.Receive(t, "the confirmation", living)
	old := c.Watch(ctx, "k", clientv3.WithRev(1))
	if r := clienttest.Receive(t, "the end of the old one", old); r.Err() != rpctypes.ErrCompacted {
		t.Fatal(r.Err())
	}
	if err := c.RequestProgress(ctx); err != nil {
		t.Fatal(err)
	}
	if r := clienttest.Receive(t, "progress", living); !r.IsProgressNotify() || r.Header.Revision < rev {
		t.Errorf("%+v", r)
	}
}
