package discovery_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A backup has a registrar's lease and an old value of one key, but not the other key. It is
// restored, and etcd reaches higher revisions before the registrar is connected again. The
// registrar corrects both keys, whether or not its watch has shown an event before: a compacted one
// is not shown.
func TestRegistrarOverARestoreThatOvertook(t *testing.T) {
	for name, compacted := range map[string]bool{"with an event": false, "without an event": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
			var watches atomic.Int64
			hooks := clientv3.Hooks{Watch: func(i clientv3.WatchInfo) {
				if i.Began {
					watches.Add(1)
				}
			}}
			c, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(), Logger: zap.NewNop(), Hooks: hooks})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			r := registrar(t, c)
			old, err := r.Keep(within(t), t.Name()+"/old", "before")
			if err != nil {
				t.Fatal(err)
			}
			backup := clienttest.Backup(t, cluster)
			if err := old.Set(within(t), "now"); err != nil {
				t.Fatal(err)
			}
			late, err := r.Keep(within(t), t.Name()+"/new", "late")
			if err != nil {
				t.Fatal(err)
			}
			if compacted {
				n := watches.Load()
				compactUnseen(t, cluster)
				clienttest.Await(t, "another watch", func() bool { return watches.Load() > n })
			}
			clienttest.Restore(t, cluster, backup, nil)
			direct := clienttest.Dial(t, cluster.Members()[0].Direct)
			clienttest.Await(t, "the key as it was", func() bool { return value(t, direct, old.Key()) == "now" })
			clienttest.Await(
				t,
				"the key that the backup lacks",
				func() bool { return value(t, direct, late.Key()) == "late" },
			)
		})
	}
}

// compactUnseen compacts events that the clients behind the proxy have not seen.
func compactUnseen(t *testing.T, cluster *etcdtest.Cluster) {
	t.Helper()
	m := cluster.Members()[0]
	direct := clienttest.Dial(t, m.Direct)
	m.Proxy().Cut()
	var rev int64
	for n := range 5 {
		r, err := direct.Put(within(t), fmt.Sprint("elsewhere/", n), "")
		if err != nil {
			t.Fatal(err)
		}
		rev = r.Header.Revision
	}
	if _, err := direct.Compact(within(t), rev); err != nil {
		t.Fatal(err)
	}
	if err := m.Proxy().Heal(); err != nil {
		t.Fatal(err)
	}
}

// A restored backup has records that were closed later, under the lease that the registrar's other
// records keep alive. The registrar deletes them again, and leaves all other keys as they are.
func TestClosedOverARestore(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	r := registrar(t, c)
	kept, err := r.Keep(within(t), t.Name()+"/kept", "1")
	ok(t, "Keep", err)
	var closed []*discovery.Kept
	for i := range 20 { // they are read in random order, so "again" is hardly ever the last
		k, err := r.Keep(within(t), fmt.Sprint(t.Name(), "/closed/", i), "1")
		ok(t, "Keep", err)
		closed = append(closed, k)
	}
	_, err = c.Put(within(t), t.Name()+"/user", "1", clientv3.WithLease(r.Lease()))
	ok(t, "Put", err)
	reused, err := r.Keep(within(t), t.Name()+"/reused", "1")
	ok(t, "Keep", err)
	ok(t, "Close", reused.Close(within(t)))
	_, err = c.Put(within(t), reused.Key(), "1", clientv3.WithLease(r.Lease())) // a user's, from now on
	ok(t, "Put", err)
	again, err := r.Keep(within(t), t.Name()+"/again", "1")
	ok(t, "Keep", err)
	made := revisionOf(t, c, again.Key())
	backup := clienttest.Backup(t, cluster)
	for _, k := range closed {
		ok(t, "Close", k.Close(within(t)))
	}
	ok(t, "Close", again.Close(within(t)))
	again, err = r.Keep(within(t), again.Key(), "1")
	ok(t, "Keep", err)
	clienttest.Restore(t, cluster, backup, nil)
	direct := clienttest.Dial(t, cluster.Members()[0].Direct)
	clienttest.Await(t, "the end of the closed records", func() bool {
		got, err := direct.Get(within(t), t.Name()+"/closed/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		return err == nil && got.Count == 0
	})
	for _, key := range []string{kept.Key(), again.Key(), t.Name() + "/user", reused.Key()} {
		if value(t, direct, key) != "1" {
			t.Errorf("%s has gone", key)
		}
	}
	if now := revisionOf(t, direct, again.Key()); now != made {
		t.Errorf("a key that is kept again was deleted: its create revision was %d, now it is %d", made, now)
	}
}

// revisionOf returns a key's create revision.
func revisionOf(t *testing.T, c *clientv3.Client, key string) int64 {
	t.Helper()
	got, err := c.Get(within(t), key)
	ok(t, "Get", err)
	if len(got.Kvs) == 0 {
		return 0
	}
	return got.Kvs[0].CreateRevision
}
