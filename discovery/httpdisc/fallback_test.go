package httpdisc_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A service moves to the second cluster and back while requests run, and its instances stay while
// its etcd is away. No request fails.
func TestFallbackFailsNoRequest(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	own, east := clienttest.Dial(t, cluster.Endpoints()...), clienttest.Shared(t)
	d := discovery.NewDirectory(own, discovery.WithFormat(format(t)), discovery.WithFallback("east", east),
		discovery.WithAnnounce("me"), discovery.WithLog(slog.New(slog.DiscardHandler)))
	t.Cleanup(func() { d.Close() })
	tr := httpdisc.New(d)
	t.Cleanup(func() { tr.Close() })
	near, far := serve(t, "near"), serve(t, "far")
	nearBy, farOff := discovery.NewRegistrar(own, discovery.WithFormat(format(t))), discovery.NewRegistrar(
		east,
		discovery.WithFormat(format(t)),
	)
	t.Cleanup(func() { nearBy.Close() })
	t.Cleanup(func() { farOff.Close() })
	register(t, farOff, far)
	g := register(t, nearBy, near)

	await(t, tr, 1)
	ctx, stop := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	var calls, failed atomic.Int32
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				calls.Add(1)
				_, _, status, err := do(tr, request(t, context.Background(), "POST", "http://orders/", http.NoBody))
				if err != nil || status != 200 {
					t.Errorf("status %d, %v", status, err)
					failed.Add(1)
				}
			}
		})
	}
	defer func() { stop(); callers.Wait() }()
	moves := func(to *server) {
		t.Helper()
		before := to.calls.Load()
		clienttest.Await(t, "calls go to "+to.name, func() bool { return to.calls.Load() > before })
		if in := tr.Statuses("orders")[0].Instance; (in.Cluster == "east") != (to == far) {
			t.Errorf("%s is of cluster %q", in.ID, in.Cluster)
		}
	}
	moves(near)
	for range 3 {
		if err := g.Drain(within(t), clienttest.Long); err != nil {
			t.Fatal(err)
		}
		moves(far)
		g = register(t, nearBy, near)
		moves(near)
	}
	m := cluster.Members()[0]
	m.Kill()
	before := near.calls.Load()
	clienttest.Await(t, "calls while etcd is away", func() bool { return near.calls.Load() > before+200 })
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := g.Drain(within(t), clienttest.Long); err != nil {
		t.Fatal(err)
	}
	moves(far)
	stop()
	callers.Wait()
	t.Logf("%d calls, %d failed", calls.Load(), failed.Load())
}
