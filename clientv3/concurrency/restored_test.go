package concurrency_test

import (
	"testing"

	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/scrape"
)

// A backup from before a lock, restored under its owner, has the session's lease but not the lock's
// key. The owner learns that, although etcd has come to higher revisions before it was back.
func TestOwnerOverARestoreThatOvertook(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	s, err := concurrency.NewSession(c, concurrency.WithTTL(60))
	if err != nil {
		t.Fatal(err)
	}
	backup := clienttest.Backup(t, cluster)
	m := concurrency.NewMutex(s, t.Name())
	if err := m.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	ctx := m.Context()
	metrics := scrape.New(nil)
	defer metrics.Close()
	clienttest.Await(t, "the owner's watch", func() bool {
		n, err := metrics.Sum(
			clienttest.Within(t, clienttest.Long),
			cluster.Members()[0].Direct,
			"etcd_debugging_mvcc_watcher_total",
		)
		return err == nil && n == 1
	})
	clienttest.Restore(t, cluster, backup, nil)
	ends(t, "the ownership", ctx.Done())
	if s.Ctx().Err() != nil {
		t.Error("the session has ended too")
	}
}
