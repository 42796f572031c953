package console_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// recorder keeps the recorded changes, and can fail.
type recorder struct {
	mu   sync.Mutex
	all  []console.Change
	fail error
	seen func(console.Change)
}

func (r *recorder) record(ch console.Change) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen != nil {
		r.seen(ch)
	}
	r.all = append(r.all, ch)
	return r.fail
}

// take returns the changes that were recorded since the last call.
func (r *recorder) take() []console.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

// pair expects the two lines of one change.
func (r *recorder) pair(t *testing.T, action, target, before, after string, outcome console.Outcome) console.Change {
	t.Helper()
	all := r.take()
	if len(all) != 2 || all[0].Outcome != console.Asked || all[0].ID != all[1].ID || all[0].ID == 0 {
		t.Fatalf("%+v", all)
	}
	c := all[1]
	if c.Action != action || c.Target != target || c.Before != before || c.After != after || c.Outcome != outcome ||
		c.From == "" ||
		c.Time.IsZero() ||
		c.Cluster != "the test's" ||
		(outcome == console.Done) != (c.Error == "") {
		t.Fatalf("%+v", c)
	}
	return c
}

func TestEveryChangeIsRecorded(t *testing.T) {
	var log recorder
	p, client := open(t, console.WithAudit(log.record), console.WithName("the test's"))
	key := t.Name() + "/\x1b[2J\u202e<b>"
	named := t.Name() + `/\x1b[2J\u202e<b>`
	log.seen = func(ch console.Change) { // it is recorded before it is made
		if ch.Outcome == console.Asked && ch.Action == "put" {
			if v := value(t, client, key); v == "new\n" {
				t.Error("it was written before it was recorded")
			}
		}
	}
	var got struct{ Mod int64 }
	p.call("PUT", "api/key", map[string]any{"key": b64Std(key), "value": b64Std("old"), "mod": 0}, &got)
	log.pair(t, "put", named, "", "old", console.Done)
	p.call("PUT", "api/key", map[string]any{"key": b64Std(key), "value": b64Std("new\n"), "mod": got.Mod}, &got)
	log.pair(t, "put", named, "old", `new\n`, console.Done)
	log.seen = nil
	p.refused(
		"PUT",
		"api/key",
		map[string]any{"key": b64Std(key), "value": b64Std("x"), "mod": 1},
		http.StatusConflict,
		"conflict",
	)
	log.pair(t, "put", named, "", "x", console.Failed)
	p.call("DELETE", "api/none", nil, nil)
	p.refused("PUT", "api/key", map[string]any{"key": "", "mod": 0}, http.StatusBadRequest, "bad_request")
	p.call("GET", "api/key?key="+b64(key), nil, nil)
	if all := log.take(); len(all) > 0 {
		t.Fatalf("recorded what changes nothing: %+v", all)
	}
	long := put(t, client, key, strings.Repeat("ä", 1000))
	p.call("POST", "api/delete", map[string]any{"key": b64Std(key), "revision": long}, nil)
	if c := log.take()[1]; c.Outcome != console.Done || !strings.HasPrefix(c.Before, "ää") ||
		!strings.HasSuffix(c.Before, "… (2000 bytes)") ||
		len(c.Before) > 1100 {
		t.Fatalf("%+v", c)
	}
	put(t, client, t.Name()+"/p/1", "")
	rev := put(t, client, t.Name()+"/p/2", "")
	p.call(
		"POST",
		"api/delete",
		map[string]any{"key": b64Std(t.Name() + "/p/"), "prefix": true, "revision": rev, "count": 2},
		nil,
	)
	c := log.take()[1]
	if c.Action != "delete" || c.Target != "all keys that begin with "+t.Name()+"/p/" ||
		!strings.HasPrefix(c.Before, "2 keys as of revision ") ||
		c.After != "2 of them deleted" {
		t.Fatalf("%+v", c)
	}
	var list struct {
		Changes []console.Change
		Own     bool
	}
	p.get("api/audit", &list)
	if list.Own || len(list.Changes) != 5 || list.Changes[0].ID != c.ID || list.Changes[0].Outcome != console.Done ||
		list.Changes[4].After != "old" {
		t.Fatalf("%+v", list)
	}
}

// TestNothingIsChangedThatCannotBeRecorded covers every request that changes something.
func TestNothingIsChangedThatCannotBeRecorded(t *testing.T) {
	log := recorder{fail: errors.New("the disk is full")}
	p, client := open(t, console.WithAudit(log.record))
	rev := put(t, client, t.Name(), "v")
	instance := map[string]any{"records": "raw", "base": t.Name(), "service": "s", "id": "i"}
	put(t, client, t.Name()+"/s/i", "127.0.0.1:1")
	for _, c := range []struct {
		method, path string
		body         map[string]any
	}{
		{"PUT", "api/key", map[string]any{"key": b64Std(t.Name()), "value": b64Std("w"), "mod": rev}},
		{"POST", "api/delete", map[string]any{"key": b64Std(t.Name()), "revision": rev}},
		{"POST", "api/services/control", map[string]any{"service": "s", "id": "i", "drain": true, "seen": "{}"}},
		{"POST", "api/services/remove", instance},
		{"POST", "api/leases/grant", map[string]any{"ttl": 60}},
		{"POST", "api/leases/keepalive", map[string]any{"id": "1"}},
		{"POST", "api/leases/revoke", map[string]any{"id": "1"}},
		{"POST", "api/locks/release", map[string]any{"key": b64Std(t.Name()), "create": rev}},
		{"POST", "api/operations/run", p.plan(map[string]any{"action": "compact"}).Operation},
	} {
		e := p.refused(c.method, c.path, c.body, http.StatusServiceUnavailable, "audit")
		if !strings.Contains(e.Error, "the disk is full") {
			t.Errorf("%s: %+v", c.path, e)
		}
	}
	if v := value(t, client, t.Name()); v != "v" {
		t.Fatalf("the key is %q", v)
	}
	if v := value(t, client, t.Name()+"/s/i"); v != "127.0.0.1:1" {
		t.Fatalf("the record is %q", v)
	}
}

// TestUsersSeeTheirOwnChanges: the log has values that other users may not read.
func TestUsersSeeTheirOwnChanges(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	withUsers(t, client)
	var log recorder
	p := serve(
		t,
		client,
		console.WithAudit(log.record),
		console.WithLogin(
			console.EtcdLogin(clientv3.Config{Endpoints: cluster.Endpoints(), Logger: client.GetLogger()}),
		),
	)
	change := func(user, password, key string, status int) int {
		t.Helper()
		p.signInWith(map[string]string{"user": user, "password": password})
		if got := p.call("PUT", "api/key",
			map[string]any{"key": b64Std(key), "value": b64Std("v of " + user), "mod": 0}, nil); got != status {
			t.Fatalf("%s writes %s: status %d", user, key, got)
		}
		var list struct {
			Changes []console.Change
			Own     bool
		}
		p.get("api/audit", &list)
		for _, c := range list.Changes {
			if list.Own && c.User != user {
				t.Errorf("%s sees %+v", user, c)
			}
		}
		return len(list.Changes)
	}
	change("root", "r", "secret", http.StatusOK)
	if n := change("ann", "a", "app/x", http.StatusOK); n != 1 {
		t.Errorf("ann sees %d", n)
	}
	if n := change("ann", "a", "bank/x", http.StatusForbidden); n != 2 {
		t.Errorf("ann sees %d", n)
	}
	all := log.take()
	if last := all[len(all)-1]; last.Outcome != console.Failed || !strings.Contains(last.Error, "permission denied") ||
		last.User != "ann" {
		t.Errorf("%+v", last)
	}
	if n := change("root", "r", "secret2", http.StatusOK); n != 4 {
		t.Errorf("root sees %d", n)
	}

	// A permission is revoked while a page is open: values on the page stay, further requests are
	// refused and recorded.
	p.signInWith(map[string]string{"user": "ann", "password": "a"})
	root := clienttest.Dial(t, cluster.Endpoints()...)
	if err := asRoot(t, root, cluster, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.UserRevokeRole(ctx, "ann", "app")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	p.refused(
		"PUT",
		"api/key",
		map[string]any{"key": b64Std("app/y"), "value": "", "mod": 0},
		http.StatusForbidden,
		"PermissionDenied",
	)
	p.refused("GET", "api/key?key="+b64("app/x"), nil, http.StatusForbidden, "PermissionDenied")
}

// asRoot calls f with root's client.
func asRoot(
	t *testing.T,
	like *clientv3.Client,
	cluster *etcdtest.Cluster,
	do func(context.Context, *clientv3.Client) error,
) error {
	t.Helper()
	c, err := clientv3.New(
		clientv3.Config{Endpoints: cluster.Endpoints(), Username: "root", Password: "r", Logger: like.GetLogger()},
	)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(clienttest.Within(t, clienttest.Long), c)
}
