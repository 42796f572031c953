package resolver_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/clienttest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// TestCallsAreSpreadOverTheEndpoints: calls are spread over the endpoints in etcd, while endpoints
// come and go.
func TestCallsAreSpreadOverTheEndpoints(t *testing.T) {
	c := clienttest.Shared(t)
	s := newService(t, c, t.Name()+"/a/b")
	one, two, three := server(t), server(t), server(t)
	s.add("one", one, nil)
	cc := connect(t, builder(t, c), "etcd:///"+s.name)
	spread(t, cc, one)
	s.add("two", two, map[string]any{"zone": "b"})
	spread(t, cc, one, two)
	s.add("three", three, nil)
	spread(t, cc, one, two, three)
	s.remove("one")
	spread(t, cc, two, three)

	lease, err := c.Grant(within(t), 5) // calls reach it before that is over
	clienttest.OK(t, "Grant", err)
	s.add("one", one, nil, clientv3.WithLease(lease.ID))
	spread(t, cc, one, two, three)
	spread(t, cc, two, three) // the lease runs out
	s.add("two", one, nil)    // a key changes its address
	spread(t, cc, one, three)
}

// TestPickFirst: the first endpoint in the order of keys is used as long as it exists.
func TestPickFirst(t *testing.T) {
	c := clienttest.Shared(t)
	s := newService(t, c, t.Name())
	one, two := server(t), server(t)
	s.add("1", one, nil)
	s.add("2", two, nil)
	cc := connect(t, builder(t, c), "etcd:///"+s.name, grpc.WithDefaultServiceConfig("{}"))
	ctx := within(t)
	for range 10 {
		if addr, err := call(ctx, cc); err != nil || addr != one {
			t.Fatalf("%v, %v, want %v", addr, err, one)
		}
	}
	s.remove("1")
	clienttest.Await(t, "the other one", func() bool {
		addr, err := call(ctx, cc, grpc.WaitForReady(true))
		clienttest.OK(t, "call", err)
		return addr == two
	})
}

// TestCallsWithoutEndpointsFailAtOnce: calls to a service without endpoints fail at once, unless
// they wait for one.
func TestCallsWithoutEndpointsFailAtOnce(t *testing.T) {
	c := clienttest.Shared(t)
	s := newService(t, c, t.Name())
	for name, config := range map[string]string{"round_robin": roundRobin, "pick_first": "{}"} {
		t.Run(name, func(t *testing.T) {
			cc := connect(t, builder(t, c), "etcd:///"+s.name, grpc.WithDefaultServiceConfig(config))
			fails := func() {
				t.Helper()
				begin := time.Now()
				_, err := call(within(t), cc)
				if code(err) != codes.Unavailable {
					t.Errorf("call: %v", err)
				}
				t.Logf("failed after %v: %v", time.Since(begin), err)
			}
			fails()
			if name == "pick_first" { // the other balancer does not pass on resolvers' errors
				clienttest.Await(t, "an error that names the service", func() bool {
					_, err := call(within(t), cc)
					return err != nil && strings.Contains(err.Error(), `service "TestCallsWithoutEndpointsFailAtOnce" has no endpoints`)
				})
			}
			waited := make(chan error, 1)
			go func() {
				_, err := call(within(t), cc, grpc.WaitForReady(true))
				waited <- err
			}()
			s.add("a", server(t), nil)
			clienttest.OK(t, "the call that waited", <-waited)
			s.remove("a")
			clienttest.Await(t, "no connection", func() bool { return cc.GetState() == connectivity.TransientFailure })
			fails()
		})
	}
}

// TestEtcdAway: calls on a connection that was made while etcd is away fail with that reason, and
// work once etcd is back.
func TestEtcdAway(t *testing.T) {
	etcdtest.CheckLeaks(t)
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	proxy := cluster.Members()[0].Proxy()
	s := newService(t, clienttest.Dial(t, cluster.Members()[0].Direct), t.Name())
	addr := server(t)
	s.add("a", addr, nil)
	for name, fault := range map[string]func(){
		"refused": proxy.Cut, "silent": func() { proxy.BlackHole(faultnet.Both) },
	} {
		t.Run(name, func(t *testing.T) {
			fault()
			c := clienttest.Dial(t, cluster.Endpoints()...)
			for lb, config := range map[string]string{"round_robin": roundRobin, "pick_first": "{}"} {
				begin := time.Now()
				cc := connect(t, builder(t, c), "etcd:///"+s.name, grpc.WithDefaultServiceConfig(config))
				_, err := call(within(t), cc)
				if code(err) != codes.Unavailable ||
					lb == "pick_first" && !strings.Contains(err.Error(), `service "TestEtcdAway"`) {
					t.Errorf("%s: %v", lb, err)
				}
				t.Logf("%s failed after %v: %v", lb, time.Since(begin), err)
			}
			waiting := connect(t, builder(t, c), "etcd:///"+s.name)
			got := make(chan error, 1)
			go func() {
				_, err := call(within(t), waiting, grpc.WaitForReady(true))
				got <- err
			}()
			clienttest.OK(t, "Heal", proxy.Heal())
			begin := time.Now()
			clienttest.OK(t, "the call that waited", <-got)
			t.Logf("resolved %v after etcd was back", time.Since(begin))
			proxy.Cut()
			if _, err := call(within(t), waiting); err != nil {
				t.Errorf("etcd is away again: %v", err) // the known addresses stay
			}
			waiting.Close() // waits for nothing
			clienttest.OK(t, "Heal", proxy.Heal())
		})
	}
}

// TestCloseWhileAway: neither Build nor Close waits for etcd.
func TestCloseWhileAway(t *testing.T) {
	etcdtest.CheckLeaks(t)
	port, err := faultnet.HoldPort()
	clienttest.OK(t, "HoldPort", err)
	t.Cleanup(port.Release)
	c := clienttest.Dial(t, port.Addr())
	begin := time.Now()
	for range 20 {
		cc := connect(t, builder(t, c), "etcd:///a")
		cc.Connect()
		cc.Close()
	}
	if d := time.Since(begin); d > clienttest.Long {
		t.Errorf("20 connections opened and closed in %v", d)
	}
}

// TestClientClosedFirst: if the client is closed first, the connection keeps its addresses, and can
// be closed.
func TestClientClosedFirst(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	s := newService(t, c, t.Name())
	one, two := server(t), server(t)
	s.add("a", one, nil)
	cc := connect(t, builder(t, c), "etcd:///"+s.name)
	spread(t, cc, one)
	s.add("b", two, nil)
	spread(t, cc, one, two) // now it certainly watches
	c.Close()
	for range 10 {
		_, err := call(within(t), cc)
		clienttest.OK(t, "call without etcd", err)
	}
	cc.Close()
	late := connect(t, builder(t, c), "etcd:///"+s.name)
	if _, err := call(within(t), late); code(err) != codes.Unavailable {
		t.Errorf("a connection of a closed client: %v", err)
	}
	late.Close()
}

// TestManyConnections closes many connections of one client while they resolve.
func TestManyConnections(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	s := newService(t, c, t.Name())
	addr := server(t)
	s.add("a", addr, nil)
	b := builder(t, c)
	for i := range 50 {
		cc := connect(t, b, "etcd:///"+s.name)
		if i%2 == 0 {
			ctx, cancel := context.WithCancel(within(t))
			if i%4 == 0 {
				cancel()
			}
			if got, err := call(ctx, cc); ctx.Err() == nil && (err != nil || got != addr) {
				t.Fatalf("%v, %v", got, err)
			}
			cancel()
		}
		cc.Connect()
		cc.Close()
	}
}
