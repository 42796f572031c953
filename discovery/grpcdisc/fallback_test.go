package grpcdisc_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A service moves to the second cluster and back while calls run, and its instances stay while its
// etcd is away. No call fails.
func TestFallbackFailsNoCall(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	own, east := clienttest.Dial(t, cluster.Endpoints()...), clienttest.Shared(t)
	d := directory(t, own, discovery.WithFallback("east", east), discovery.WithAnnounce("me"))
	near, far := serve(t), serve(t)
	nearBy := registrar(t, own)
	register(t, registrar(t, east), "far", far)
	g := register(t, nearBy, "near", near)
	cc := connect(t, d, lb(grpcdisc.P2C, ""))
	awaitSpread(t, cc, near)

	ctx, stop := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	var calls, failed atomic.Int32
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				calls.Add(1)
				if _, err := call(context.Background(), cc); err != nil {
					t.Error(err)
					failed.Add(1)
				}
			}
		})
	}
	defer func() { stop(); callers.Wait() }()
	for range 3 {
		if err := g.Drain(within(t), clienttest.Long); err != nil {
			t.Fatal(err)
		}
		awaitSpread(t, cc, far)
		g = register(t, nearBy, "near", near)
		awaitSpread(t, cc, near)
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
	awaitSpread(t, cc, far)
	stop()
	callers.Wait()
	t.Logf("%d calls, %d failed", calls.Load(), failed.Load())
}
