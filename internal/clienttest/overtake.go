package clienttest

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// Overtake wipes the only member of a cluster that is Proxied, and puts keys into it, and others,
// until its revision is far above the old one. Clients of the proxy see only the final state.
func Overtake(t testing.TB, cluster *etcdtest.Cluster, keys map[string]string) {
	t.Helper()
	Restore(t, cluster, "", keys)
}

// Backup stops the only member of a cluster, copies its data and starts it again.
func Backup(t testing.TB, cluster *etcdtest.Cluster) (dir string) {
	t.Helper()
	m := cluster.Members()[0]
	m.Terminate()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(m.DataDir)); err != nil {
		t.Fatal(err)
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitReady(Within(t, Long)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// PutBack kills the only member of a cluster and starts it again with the data of a backup; ""
// means no data.
func PutBack(t testing.TB, cluster *etcdtest.Cluster, backup string) {
	t.Helper()
	m := cluster.Members()[0]
	m.Kill()
	if err := os.RemoveAll(m.DataDir); err != nil {
		t.Fatal(err)
	}
	if backup != "" {
		if err := os.CopyFS(m.DataDir, os.DirFS(backup)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitReady(Within(t, Long)); err != nil {
		t.Fatal(err)
	}
}

// Restore is Overtake with a backup instead of an empty member; backup "" means no data.
func Restore(t testing.TB, cluster *etcdtest.Cluster, backup string, keys map[string]string) {
	t.Helper()
	m := cluster.Members()[0]
	direct := Dial(t, m.Direct)
	was, err := direct.Get(Within(t, Long), "\x00", clientv3.WithFromKey(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	m.Proxy().Cut()
	PutBack(t, cluster, backup)
	put := func(key, value string) (rev int64) {
		t.Helper()
		Await(t, "a put succeeds", func() bool {
			r, err := direct.Put(Within(t, Long), key, value)
			if err == nil {
				rev = r.Header.Revision
			}
			return err == nil
		})
		return rev
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		put(key, keys[key])
	}
	for n := 0; put(fmt.Sprint("elsewhere/", n), "") < was.Header.Revision+20; n++ {
	}
	if err := m.Proxy().Heal(); err != nil {
		t.Fatal(err)
	}
}
