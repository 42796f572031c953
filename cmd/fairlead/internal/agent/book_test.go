package agent

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/miekg/dns"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// startBook runs a book without an agent.
func startBook(t *testing.T, client *clientv3.Client, s *state, say func(string)) *book {
	t.Helper()
	b := newBook(client, discovery.JSON{}, s, 10, 0, say)
	b.start(context.Background())
	stop := b.stop
	t.Cleanup(stop)
	return b
}

func declared(t *testing.T, id string) discovery.Instance {
	return discovery.Instance{Service: t.Name(), ID: id, Addresses: []string{"10.0.0.1:80"}}
}

// A registration lapses while a request changes it and etcd does not answer: the report of that
// does not read fields that the request writes.
func TestLapseWhileItChanges(t *testing.T) {
	said := make(chan string, 10)
	b := startBook(t, clienttest.Dial(t, "127.0.0.1:1"), nil, func(line string) { said <- line })
	for range 20 {
		if err := b.reserve(declared(t, "one"), 0); err != nil {
			t.Fatal(err)
		}
		ctx := clienttest.Within(t, clienttest.Long)
		e, err := b.take(ctx, identity{t.Name(), "one"})
		if err != nil {
			t.Fatal(err)
		}
		gone := false
		for !gone {
			b.mu.Lock()
			gone = e.gone
			e.in.Version, e.ttl = e.in.Version+"x", e.ttl+1 // as put does
			b.mu.Unlock()
		}
		e.turn <- struct{}{}
		clienttest.Receive(t, "it is said", said)
	}
}

// A drain that etcd refuses leaves the registration in the book, so that it lapses or is tried
// again.
func TestRefusedDrainKeepsTheRegistration(t *testing.T) {
	ctx := clienttest.Within(t, 2*clienttest.Long)
	c := etcdtest.Start(t, etcdtest.Options{Members: 1})
	root, prefix := clienttest.Dial(t, c.Endpoints()...), discovery.DefaultBase
	for _, step := range []func() error{
		func() error { _, err := root.RoleAdd(ctx, "root"); return err },
		func() error { _, err := root.UserAdd(ctx, "root", "root"); return err },
		func() error { _, err := root.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := root.RoleAdd(ctx, "app"); return err },
		func() error { _, err := root.UserAdd(ctx, "app", "app"); return err },
		func() error { _, err := root.UserGrantRole(ctx, "app", "app"); return err },
		func() error { return mayWriteKeys(ctx, root, prefix) },
		func() error { return mayWriteKeys(ctx, root, "/fairlead/watchers/") },
		func() error { _, err := root.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	as := func(user string) *clientv3.Client {
		client, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints(), Username: user, Password: user})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		return client
	}
	root = as("root")
	b := startBook(t, as("app"), nil, func(line string) { t.Log(line) })
	id := identity{t.Name(), "one"}
	if _, err := b.put(ctx, declared(t, "one"), MaxTTL); err != nil {
		t.Fatal(err)
	}
	if _, err := root.RoleRevokePermission(ctx, "app", prefix, clientv3.GetPrefixRangeEnd(prefix)); err != nil {
		t.Fatal(err)
	}
	if err := b.drain(ctx, id, time.Minute); clientv3.Code(err) != codes.PermissionDenied {
		t.Errorf("a drain that etcd refuses: %v", err)
	}
	if b.len() != 1 {
		t.Error("it is forgotten, and its record stays for ever")
	}
	if err := mayWriteKeys(ctx, root, prefix); err != nil {
		t.Fatal(err)
	}
	if err := b.drain(ctx, id, time.Minute); err != nil {
		t.Errorf("again: %v", err)
	}
	if b.len() != 0 || exists(t, root, key(id.service, id.id)) {
		t.Error("it is there after its drain")
	}
}

func mayWriteKeys(ctx context.Context, c *clientv3.Client, prefix string) error {
	_, err := c.RoleGrantPermission(
		ctx,
		"app",
		prefix,
		clientv3.GetPrefixRangeEnd(prefix),
		clientv3.PermissionType(clientv3.PermReadWrite),
	)
	return err
}

// An instance whose drain was cancelled at its very end is registered again by the next
// declaration, even if that changes nothing.
func TestDeclaredAfterItClosed(t *testing.T) {
	client := clienttest.Shared(t)
	b := startBook(t, client, nil, func(line string) { t.Log(line) })
	ctx := clienttest.Within(t, clienttest.Long)
	id := identity{t.Name(), "one"}
	if _, err := b.put(ctx, declared(t, "one"), LeastTTL); err != nil {
		t.Fatal(err)
	}
	e, err := b.take(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.reg.Load().Close(ctx); err != nil {
		t.Fatal(err)
	}
	e.turn <- struct{}{}
	if _, err := b.put(ctx, declared(t, "one"), LeastTTL); err != nil {
		t.Fatal(err)
	}
	if !exists(t, client, key(id.service, id.id)) {
		t.Error("the answer was that it is registered, but it is not")
	}
	if err := b.remove(ctx, id); err != nil {
		t.Error(err)
	}
}

// The record is there all the time, however often an instance changes its TTL, and with it the
// lease.
func TestRecordStaysWhileItsLeaseChanges(t *testing.T) {
	client := clienttest.Shared(t)
	b := startBook(t, client, nil, func(line string) { t.Log(line) })
	ctx := clienttest.Within(t, 2*clienttest.Long)
	id := identity{t.Name(), "one"}
	if _, err := b.put(ctx, declared(t, "one"), LeastTTL); err != nil {
		t.Fatal(err)
	}
	gone := deletions(t, client, key(id.service, id.id))
	for i := range 100 {
		if created, err := b.put(ctx, declared(t, "one"), LeastTTL<<(i%3)); err != nil || created {
			t.Fatalf("%d: %v %v", i, created, err)
		}
	}
	if n := gone(); n != 0 || !exists(t, client, key(id.service, id.id)) {
		t.Errorf("the record went %d times", n)
	}
	if err := b.remove(ctx, id); err != nil || exists(t, client, key(id.service, id.id)) {
		t.Errorf("the record is there after its removal: %v", err)
	}
}

// A request that was cut off at the agent's end does not wait for a file that will not be written.
func TestLateRequestDoesNotWait(t *testing.T) {
	client := clienttest.Shared(t)
	b := newBook(
		client,
		discovery.JSON{},
		newState(filepath.Join(t.TempDir(), "registrations.json")),
		10,
		0,
		func(line string) { t.Log(line) },
	)
	b.start(context.Background())
	ctx := clienttest.Within(t, clienttest.Long)
	if _, err := b.put(ctx, declared(t, "one"), LeastTTL); err != nil {
		t.Fatal(err)
	}
	b.stop()
	if err := b.remove(ctx, identity{t.Name(), "one"}); !errors.Is(err, errEnding) {
		t.Errorf("%v", err)
	}
	if exists(t, client, key(t.Name(), "one")) {
		t.Error("the record is there after its removal")
	}
}

// Health and metrics cover all services that the agent follows, also those that clients ask for
// over DNS only.
func TestHealthOfNames(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 1})
	r := start(
		t,
		clienttest.Dial(t, c.Endpoints()...),
		func(o *Options) { o.DNS, o.Answers.Domain = "127.0.0.1:0", "x.internal" },
	)
	var q dns.Msg
	q.SetQuestion("orders.x.internal.", dns.TypeSRV)
	if _, err := dns.Exchange(&q, r.agent.names.Addr()); err != nil {
		t.Fatal(err)
	}
	var h healthAnswer
	if r.want(200, &h, "GET", "/healthz", ""); h.Services != 1 || h.Status != "ok" {
		t.Errorf("%+v", h)
	}
	r.ids("orders") // over HTTP too: it is the same service
	if r.want(200, &h, "GET", "/healthz", ""); h.Services != 1 {
		t.Errorf("%+v", h)
	}
	r.ids("others")
	c.Members()[0].Kill()
	clienttest.Await(t, "both are stale", func() bool {
		r.want(200, &h, "GET", "/healthz", "")
		return h.Status == "stale" && h.Stale == 2 && h.Age > 0
	})
}
