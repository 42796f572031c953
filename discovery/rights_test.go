package discovery_test

import (
	"os"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// etcd neither renews a lease nor puts a key under it for a user who may not write all its keys.
// When one of a registrar's prefixes is forbidden, its other records never go, and change as
// before.
func TestOneOfTwoPrefixesForbidden(t *testing.T) {
	if os.Getenv(etcdtest.VersionEnv) == "3.4" {
		t.Skip("etcd 3.4 renews the lease, so that the forbidden key stays")
	}
	a, b := t.Name()+"/a/", t.Name()+"/b/"
	_, app, root := limited(t, a)
	ok(t, "allow", allow(within(t), root, b))
	forbid := func() {
		t.Helper()
		_, err := root.RoleRevokePermission(within(t), "app", b, clientv3.GetPrefixRangeEnd(b))
		ok(t, "forbid", err)
	}
	const ttl = 5
	r := registrar(t, app, discovery.WithTTL(ttl))
	keep := func(key string) *discovery.Kept {
		t.Helper()
		k, err := r.Keep(within(t), key, "x")
		ok(t, "Keep", err)
		return k
	}
	mine := keep(a + "1")
	theirs := keep(b + "1")
	began, err := root.Get(within(t), a)
	ok(t, "Get", err)
	gone := make(chan bool, 1)
	go func() {
		for w := range root.Watch(t.Context(), a, clientv3.WithPrefix(), clientv3.WithRev(began.Header.Revision+1)) {
			for _, ev := range w.Events {
				if ev.Type == clientv3.EventTypeDelete {
					gone <- true
				} else if string(ev.Kv.Key) == a+"end" {
					gone <- false
				}
			}
		}
	}()
	forbid()
	clienttest.Await(t, "the end of the forbidden key, with its lease", func() bool {
		return value(t, root, theirs.Key()) == ""
	})
	time.Sleep(ttl * time.Second) // the other's lease would have ended too
	ok(t, "allow", allow(within(t), root, b))
	clienttest.Await(t, "it is back", func() bool { return value(t, root, theirs.Key()) == "x" })
	forbid()
	ok(t, "Set", mine.Set(within(t), "y"))
	keep(a + "2")
	if err := theirs.Set(within(t), "y"); clientv3.Code(err) != codes.PermissionDenied {
		t.Errorf("a forbidden key: %v", err)
	}
	_, err = root.Put(within(t), a+"end", "")
	ok(t, "Put", err)
	if clienttest.Receive(t, "the end", gone) {
		t.Error("a record went that is allowed")
	}
}

// A registrar that is closed leaves no record that it may remove, although etcd does not let it
// revoke its lease.
func TestCloseWithAForbiddenKey(t *testing.T) {
	a, b := t.Name()+"/a/", t.Name()+"/b/"
	_, app, root := limited(t, a)
	ok(t, "allow", allow(within(t), root, b))
	r := registrar(t, app, discovery.WithTTL(60))
	for _, key := range []string{a + "1", b + "1", a + "2"} {
		_, err := r.Keep(within(t), key, "x")
		ok(t, "Keep", err)
	}
	_, err := root.RoleRevokePermission(within(t), "app", b, clientv3.GetPrefixRangeEnd(b))
	ok(t, "forbid", err)
	if err := r.Close(); clientv3.Code(err) != codes.PermissionDenied {
		t.Errorf("Close: %v", err)
	}
	if v := value(t, root, a+"1") + value(t, root, a+"2"); v != "" {
		t.Errorf("left after Close: %q", v)
	}
}
