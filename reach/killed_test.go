package reach

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// An agent that is killed and comes back has the registrations that were made with it: their
// records stay in etcd all the time, and the programs go on renewing. The agent starts although
// its old socket is still there.
func TestKilledAgent(t *testing.T) {
	c := etcdtest.Start(t, etcdtest.Options{Members: 1})
	client := clienttest.Dial(t, c.Endpoints()...)
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	start := func() *agent {
		a := startAgent(t, c, "--socket", socket, "--files", dir)
		clienttest.Await(t, "it serves", func() bool { return strings.Contains(a.said(), "serving unix:") })
		return a
	}
	call := func(method, path, body string) int {
		t.Helper()
		transport := &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			},
		}
		q, err := http.NewRequestWithContext(
			clienttest.Within(t, clienttest.Long),
			method,
			"http://localhost/v1/services/orders/instances/one"+path,
			strings.NewReader(body),
		)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "application/json")
		a, err := transport.RoundTrip(q)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		return a.StatusCode
	}
	a := start()
	if status := call("PUT", "", `{"addresses":["10.0.0.1:80"],"ttl":60}`); status != http.StatusCreated {
		t.Fatalf("%d", status)
	}
	ctx := clienttest.Within(t, 4*clienttest.Long)
	key := discovery.JSON{}.Key(&discovery.Instance{Service: "orders", ID: "one"})
	before, err := client.Get(ctx, key)
	if err != nil || len(before.Kvs) != 1 {
		t.Fatalf("%v %v", before, err)
	}
	for range 3 {
		a.end(syscall.SIGKILL)
		a = start()
		if status := call("POST", "/renew", ""); status != http.StatusOK {
			t.Errorf("a renewal after it was killed: %d", status)
		}
		clienttest.Await(t, "the record has the lease of the new one", func() bool {
			now, err := client.Get(ctx, key)
			return err == nil && len(now.Kvs) == 1 && now.Kvs[0].Lease != before.Kvs[0].Lease
		})
		now, err := client.Get(ctx, key)
		if err != nil || len(now.Kvs) != 1 || now.Kvs[0].CreateRevision != before.Kvs[0].CreateRevision {
			t.Errorf("it was not there all the time: %v %v, before %v", now.Kvs, err, before.Kvs)
		}
		before.Kvs[0] = now.Kvs[0]
	}
	a.end(syscall.SIGTERM)
	if now, err := client.Get(ctx, key, clientv3.WithCountOnly()); err != nil || now.Count != 1 {
		t.Errorf("it went with the agent: %v", err)
	}
	start()
	if status := call("DELETE", "", ""); status != http.StatusNoContent {
		t.Errorf("%d", status)
	}
	if now, err := client.Get(ctx, key, clientv3.WithCountOnly()); err != nil || now.Count != 0 {
		t.Errorf("it is there after it was taken out: %v", err)
	}
}
