package console_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

type oneLease struct {
	ID           string
	TTL, Granted int64
	KeyCount     int
	Owners       []struct {
		Kind string
		Name []byte
	}
}

// TestLeasesAreGrantedRenewedAndRevoked: a lease that has got keys since it was shown is not
// revoked.
func TestLeasesAreGrantedRenewedAndRevoked(t *testing.T) {
	var log recorder
	p, client := open(t, console.WithAudit(log.record), console.WithName("the test's"))
	var l oneLease
	if status := p.call("POST", "api/leases/grant", map[string]any{"ttl": 900}, &l); status != http.StatusOK ||
		l.ID == "" ||
		l.TTL != 900 {
		t.Fatalf("status %d, %+v", status, l)
	}
	log.pair(t, "grant", "a lease of 900 s", "", l.ID, console.Done)
	var renewed oneLease
	status := p.call("POST", "api/leases/keepalive", map[string]any{"id": l.ID}, &renewed)
	if status != http.StatusOK || renewed.TTL != 900 {
		t.Fatalf("status %d, %+v", status, renewed)
	}
	log.pair(t, "keep alive", "lease "+l.ID, "", "", console.Done)

	s, err := concurrency.NewSession(client, concurrency.WithTTL(60))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := concurrency.NewMutex(s, t.Name()+"/lock")
	if err := m.Lock(clienttest.Within(t, clienttest.Long)); err != nil {
		t.Fatal(err)
	}
	put(t, client, "/fairlead/services/"+t.Name()+"/i", "{}", clientv3.WithLease(s.Lease()))
	var list struct{ Leases []oneLease }
	p.get("api/leases", &list)
	var mine oneLease
	for _, one := range list.Leases {
		if one.KeyCount == 2 && len(one.Owners) == 2 &&
			strings.Contains(string(one.Owners[0].Name)+string(one.Owners[1].Name), t.Name()) {
			mine = one
		}
	}
	if mine.ID == "" {
		t.Fatalf("%+v", list)
	}
	p.refused("POST", "api/leases/revoke", map[string]any{"id": mine.ID, "keys": 1}, http.StatusConflict, "conflict")
	if v := value(t, client, m.Key()); v == "<none>" {
		t.Fatal("the key is gone")
	}
	log.take()
	status = p.call("POST", "api/leases/revoke", map[string]any{"id": mine.ID, "keys": 2}, nil)
	if status != http.StatusNoContent {
		t.Fatalf("status %d", status)
	}
	if c := log.take()[1]; c.Action != "revoke" || !strings.HasPrefix(c.Before, "2 keys: ") ||
		c.Outcome != console.Done {
		t.Fatalf("%+v", c)
	}
	if v := value(t, client, m.Key()); v != "<none>" {
		t.Fatal("the key is there still")
	}
	p.refused("POST", "api/leases/revoke", map[string]any{"id": mine.ID, "keys": 0}, http.StatusNotFound, "NotFound")
	p.refused("POST", "api/leases/keepalive", map[string]any{"id": mine.ID}, http.StatusNotFound, "NotFound")
	for path, body := range map[string]map[string]any{
		"grant": {"ttl": 0}, "keepalive": {"id": "x"}, "revoke": {"id": "0"},
	} {
		p.refused("POST", "api/leases/"+path, body, http.StatusBadRequest, "bad_request")
	}
	p.refused("POST", "api/leases/revoke", map[string]any{}, http.StatusBadRequest, "bad_request")
	if status := p.call("POST", "api/leases/revoke", map[string]any{"id": l.ID}, nil); status != http.StatusNoContent {
		t.Fatalf("status %d", status)
	}
}

// TestALockIsReleasedByForce only as it was shown: the next owner's key, and one that was created
// again, stay.
func TestALockIsReleasedByForce(t *testing.T) {
	var log recorder
	p, client := open(t, console.WithAudit(log.record), console.WithName("the test's"))
	ctx := clienttest.Within(t, clienttest.Long)
	lock := func() (*concurrency.Session, *concurrency.Mutex) {
		t.Helper()
		s, err := concurrency.NewSession(client, concurrency.WithTTL(60))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s, concurrency.NewMutex(s, t.Name())
	}
	type queues struct {
		Queues []struct {
			Since     int64
			Earlier   bool
			Handovers int
			All       []struct {
				Key    []byte
				Create int64
			}
		}
	}
	look := func() (q queues) {
		t.Helper()
		p.get("api/locks?prefix="+b64(t.Name()), &q)
		if len(q.Queues) != 1 {
			t.Fatalf("%+v", q)
		}
		return q
	}
	_, first := lock()
	if err := first.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	q := look().Queues[0]
	if q.Since == 0 || !q.Earlier || q.Handovers != 0 {
		t.Fatalf("%+v", q)
	}
	_, second := lock()
	got := make(chan error, 1)
	go func() { got <- second.Lock(ctx) }()
	clienttest.Await(t, "the second waits", func() bool { return len(look().Queues[0].All) == 2 })
	owner := map[string]any{"key": q.All[0].Key, "create": q.All[0].Create + 1}
	p.refused("POST", "api/locks/release", owner, http.StatusConflict, "conflict")
	log.take()
	owner["create"] = q.All[0].Create
	if status := p.call("POST", "api/locks/release", owner, nil); status != http.StatusNoContent {
		t.Fatalf("status %d", status)
	}
	if c := log.take()[1]; c.Action != "release" || c.Target != first.Key() || c.Outcome != console.Done {
		t.Fatalf("%+v", c)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	next := look().Queues[0]
	if len(next.All) != 1 || next.Earlier || next.Handovers != 1 || next.Since < q.Since {
		t.Fatalf("%+v", next)
	}
	p.refused("POST", "api/locks/release", owner, http.StatusConflict, "conflict")
	p.refused("POST", "api/locks/release", map[string]any{"key": q.All[0].Key}, http.StatusBadRequest, "bad_request")
	if len(look().Queues[0].All) != 1 {
		t.Fatal("the next owner has lost it")
	}
}

// TestWhoMayNotReleaseChangesNothing: neither a limited user nor any user while etcd is away.
func TestWhoMayNotReleaseChangesNothing(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	rev := put(t, client, "bank/lock/1", "v")
	lease, err := client.Grant(t.Context(), 600)
	if err != nil {
		t.Fatal(err)
	}
	put(t, client, "bank/leased", "v", clientv3.WithLease(lease.ID))
	withUsers(t, client)
	p := serve(
		t,
		client,
		console.WithLogin(
			console.EtcdLogin(clientv3.Config{Endpoints: cluster.Endpoints(), Logger: client.GetLogger()}),
		),
	)
	p.signInWith(map[string]string{"user": "ann", "password": "a"})
	release := map[string]any{"key": b64Std("bank/lock/1"), "create": rev}
	p.refused("POST", "api/locks/release", release, http.StatusForbidden, "PermissionDenied")
	var e failure
	if status := p.call("POST", "api/leases/revoke",
		map[string]any{"id": strconv.FormatInt(int64(lease.ID), 16), "keys": 1}, &e); status != http.StatusForbidden {
		t.Fatalf("status %d, %+v", status, e)
	}
	p.signInWith(map[string]string{"user": "root", "password": "r"})
	var k struct{ Exists bool }
	for _, key := range []string{"bank/lock/1", "bank/leased"} {
		if p.get("api/key?key="+b64(key), &k); !k.Exists {
			t.Fatalf("%s is gone", key)
		}
	}
	if err := cluster.Members()[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Members()[0].Thaw() })
	for path, body := range map[string]map[string]any{"locks/release": release, "leases/grant": {
		"ttl": 60,
	}, "leases/revoke": {"id": "1"}, "leases/keepalive": {"id": "1"}} {
		if status := p.call("POST", "api/"+path, body, &e); status < 500 || e.Error == "" {
			t.Errorf("%s: status %d, %+v", path, status, e)
		}
	}
}
