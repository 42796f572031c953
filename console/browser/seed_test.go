package browser

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

func put(t *testing.T, client *clientv3.Client, key, value string, opts ...clientv3.OpOption) int64 {
	t.Helper()
	r, err := client.Put(clienttest.Within(t, clienttest.Long), key, value, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

func value(t *testing.T, client *clientv3.Client, key string) string {
	t.Helper()
	r, err := client.Get(clienttest.Within(t, clienttest.Long), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Kvs) == 0 {
		return "<none>"
	}
	return string(r.Kvs[0].Value)
}

// seed fills the cluster with data for the pages, which stay until the test's end.
func seed(t *testing.T, client *clientv3.Client) {
	t.Helper()
	ctx := clienttest.Within(t, clienttest.Long)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), clienttest.Long)
		defer cancel()
		for _, prefix := range []string{"/config/", "/locks/", "/elections/", "/tenants/"} {
			if _, err := client.Delete(ctx, prefix, clientv3.WithPrefix()); err != nil {
				t.Error(err)
			}
		}
	})
	put(t, client, "/config/orders.json", `{"retries": 2, "timeout": "2s", "zones": ["east"]}`)
	put(t, client, "/config/orders.json", `{"retries": 3, "timeout": "2s", "zones": ["east", "west"]}`)
	put(
		t,
		client,
		"/config/orders.json",
		`{"retries": 3, "timeout": "5s", "zones": ["east", "west"], "limits": {"perSecond": 200, "burst": 40}}`,
	)
	put(t, client, "/config/payments.json", `{"currency": "EUR"}`)
	put(t, client, "/config/motd", "Maintenance on Sunday, 03:00 UTC.\nNothing will be lost.\n")
	put(t, client, "/config/certificate", "\x30\x82\x03\x4f\x02\x01\x03\x00\xff\xfe")
	for _, tenant := range []string{"acme", "globex", "initech"} {
		for i := range 12 {
			put(t, client, fmt.Sprintf("/tenants/%s/users/%04d", tenant, i), fmt.Sprintf(`{"id": %d}`, i))
		}
	}
	r := discovery.NewRegistrar(client, discovery.WithTTL(30))
	t.Cleanup(func() { r.Close() })
	for i, in := range []discovery.Instance{
		{Service: "orders", ID: "orders-7d9f-1", Addresses: []string{"10.0.1.17:8443"}, Version: "v2.3.1", Zone: "east",
			Weight: 20, Tags: []string{"canary"}, Metadata: map[string]string{
				"commit": "9f2c1ab", "owner": "shop",
			}},
		{Service: "orders", ID: "orders-7d9f-2", Addresses: []string{
			"10.0.1.18:8443",
		}, Version: "v2.3.0", Zone: "east"},
		{Service: "orders", ID: "orders-7d9f-3", Addresses: []string{"10.0.2.4:8443"}, Version: "v2.3.0", Zone: "west"},
		{Service: "payments", ID: "payments-1", Addresses: []string{
			"https://10.0.1.30",
		}, Version: "v1.9", Zone: "east"},
		{Service: "payments", ID: "payments-2", Addresses: []string{
			"https://10.0.2.31",
		}, Version: "v1.9", Zone: "west"},
	} {
		g, err := r.Register(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			if err := g.Update(ctx, func(in *discovery.Instance) { in.State = discovery.Draining }); err != nil {
				t.Fatal(err)
			}
		}
	}
	hold, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	for i := range 3 {
		s, err := concurrency.NewSession(client, concurrency.WithTTL(20))
		if err != nil {
			t.Fatal(err)
		}
		m := concurrency.NewMutex(s, "/locks/nightly-report")
		e := concurrency.NewElection(s, "/elections/scheduler")
		if i == 0 {
			if err := m.Lock(ctx); err != nil {
				t.Fatal(err)
			}
			if err := e.Campaign(ctx, "worker-a"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			continue
		}
		done := make(chan struct{}, 2)
		go func() { _ = m.Lock(hold); done <- struct{}{} }()
		go func() { _ = e.Campaign(hold, fmt.Sprintf("worker-%c", 'a'+i)); done <- struct{}{} }()
		t.Cleanup(func() { cancel(); <-done; <-done; s.Close() })
	}
	// The waiters' keys exist.
	clienttest.Await(t, "the queues are there", func() bool {
		r, err := client.Get(ctx, "/elections/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		l, err2 := client.Get(ctx, "/locks/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		return err == nil && err2 == nil && r.Count == 3 && l.Count == 3
	})
}

// churn writes keys at a rate until stopped, and returns how many it wrote.
func churn(t *testing.T, client *clientv3.Client, prefix string, perSecond int) (stop func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int64, 1)
	go func() {
		n := int64(0)
		const every = 20 * time.Millisecond
		each := max(1, perSecond*int(every)/int(time.Second))
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				done <- n
				return
			case <-tick.C:
			}
			var ops []clientv3.Op
			for range each {
				ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%03d", prefix, n%500), fmt.Sprintf(`{"n": %d}`, n)))
				n++
			}
			if _, err := client.Txn(context.WithoutCancel(ctx)).Then(ops...).Commit(); err != nil {
				t.Errorf("write: %v", err)
				done <- n
				return
			}
		}
	}()
	return func() int64 { cancel(); return <-done }
}
