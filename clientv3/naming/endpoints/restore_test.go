package endpoints_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3/naming/endpoints"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestRestored: after etcd was restored from a backup the consumer knows what the backup
// holds, and what comes then.
func TestRestored(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	member, ctx := cluster.Members()[0], within(t, 3*long)
	c := dial(t, zap.NewNop(), cluster.Endpoints()...)
	m := manager(t, c)
	add := func(k, addr string) {
		t.Helper()
		ok(t, "AddEndpoint", m.AddEndpoint(ctx, t.Name()+"/"+k, endpoints.Endpoint{Addr: addr}))
	}
	restart := func() {
		t.Helper()
		ok(t, "Restart", member.Restart())
		ok(t, "WaitReady", member.WaitReady(ctx))
	}
	add("removed later", "a:1")
	add("moved later", "b:1")
	add("stays", "c:1")
	member.Terminate()
	backup := t.TempDir()
	ok(t, "copying the data", os.CopyFS(backup, os.DirFS(member.DataDir)))
	restart()

	v := watch(t, ctx, m)
	v.says("+moved later b:1 <nil>", "+removed later a:1 <nil>", "+stays c:1 <nil>")
	ok(t, "DeleteEndpoint", m.DeleteEndpoint(ctx, t.Name()+"/removed later"))
	add("moved later", "b:2")
	for i := range 5 {
		add(fmt.Sprint("new", i), "d:1")
	}
	for len(v.known) < 7 {
		v.step()
	}
	member.Kill()
	ok(t, "removing the data", os.RemoveAll(member.DataDir))
	ok(t, "restoring the data", os.CopyFS(member.DataDir, os.DirFS(backup)))
	restart()
	begin := time.Now()
	v.says("+moved later b:1 <nil>", "-new0", "-new1", "-new2", "-new3", "-new4", "+removed later a:1 <nil>")
	t.Logf("right %v after etcd was ready", time.Since(begin))
	add("and on", "e:1")
	v.says("+and on e:1 <nil>")
}
