package endpoints_test

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3/naming/endpoints"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestRestoreShowsTheBackupsEndpoints: after etcd was restored from a backup, the consumer has the
// backup's endpoints, and gets later changes.
func TestRestoreShowsTheBackupsEndpoints(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	ctx := clienttest.Within(t, 3*clienttest.Long)
	c := dial(t, zap.NewNop(), cluster.Endpoints()...)
	m := manager(t, c)
	add := func(k, addr string) {
		t.Helper()
		clienttest.OK(t, "AddEndpoint", m.AddEndpoint(ctx, t.Name()+"/"+k, endpoints.Endpoint{Addr: addr}))
	}
	add("removed later", "a:1")
	add("moved later", "b:1")
	add("stays", "c:1")
	backup := clienttest.Backup(t, cluster)

	v := watch(t, ctx, m)
	v.says("+moved later b:1 <nil>", "+removed later a:1 <nil>", "+stays c:1 <nil>")
	clienttest.OK(t, "DeleteEndpoint", m.DeleteEndpoint(ctx, t.Name()+"/removed later"))
	add("moved later", "b:2")
	for i := range 5 {
		add(fmt.Sprint("new", i), "d:1")
	}
	for len(v.known) < 7 {
		v.step()
	}
	clienttest.PutBack(t, cluster, backup)
	begin := time.Now()
	v.says("+moved later b:1 <nil>", "-new0", "-new1", "-new2", "-new3", "-new4", "+removed later a:1 <nil>")
	t.Logf("right %v after etcd was ready", time.Since(begin))
	add("and on", "e:1")
	v.says("+and on e:1 <nil>")
}
