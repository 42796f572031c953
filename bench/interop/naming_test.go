package interop

import (
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"sync"
	"testing"

	theirendpoints "go.etcd.io/etcd/client/v3/naming/endpoints"
	theirresolver "go.etcd.io/etcd/client/v3/naming/resolver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	gresolver "google.golang.org/grpc/resolver"

	"github.com/fairlead-go/fairlead/clientv3/naming"
	"github.com/fairlead-go/fairlead/clientv3/naming/endpoints"
	"github.com/fairlead-go/fairlead/clientv3/naming/resolver"
)

// TestEndpoints: both managers store the same bytes, and read what the other or the older API has
// written.
func TestEndpoints(t *testing.T) {
	o, x := dial(t)
	ctx := within(t)
	for _, target := range []string{"svc", "svc/", "a/b", "ä "} {
		mine, err := endpoints.NewManager(o, target)
		if err != nil {
			t.Fatal(err)
		}
		their, err := theirendpoints.NewManager(x, target)
		if err != nil {
			t.Fatal(err)
		}
		mineSee, err := mine.NewWatchChannel(ctx)
		if err != nil {
			t.Fatal(err)
		}
		theySee, err := their.NewWatchChannel(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var want []string // keys
		for i, metadata := range []any{
			nil, "text <&>", 7, map[string]any{"weight": 10, "a": []any{1, nil}}, false, struct{ Zone string }{"b"},
		} {
			stored := make(map[string]bool)
			for side, add := range map[string]func(key, addr string) error{
				"ours": func(key, addr string) error {
					return mine.AddEndpoint(ctx, key, endpoints.Endpoint{Addr: addr, Metadata: metadata})
				},
				"theirs": func(key, addr string) error {
					return their.AddEndpoint(ctx, key, theirendpoints.Endpoint{Addr: addr, Metadata: metadata})
				},
			} {
				key, addr := fmt.Sprint(target, "/", side, i), fmt.Sprint("h<ö>:", i)
				if err := add(key, addr); err != nil {
					t.Fatal(err)
				}
				r, err := o.Get(ctx, key)
				if err != nil || len(r.Kvs) != 1 {
					t.Fatal(err, r)
				}
				stored[string(r.Kvs[0].Value)] = true
				want = append(want, key)
				a, b := (<-mineSee)[0], (<-theySee)[0]
				if a.Key != key || a.Key != b.Key || a.Op != endpoints.Add || b.Op != theirendpoints.Add ||
					!reflect.DeepEqual(a.Endpoint, endpoints.Endpoint(b.Endpoint)) || a.Endpoint.Addr != addr {
					t.Errorf("watched %+v and %+v", a, b)
				}
			}
			if len(stored) != 1 {
				t.Errorf("stored differently: %v", slices.Collect(maps.Keys(stored)))
			}
		}
		old := &naming.GRPCResolver{Client: o}
		if err := old.Update(ctx, target, naming.Update{Op: naming.Add, Addr: "old:1"}); err != nil {
			t.Fatal(err)
		}
		if a, b := (<-mineSee)[0], (<-theySee)[0]; a.Key != target+"/old:1" || b.Key != a.Key ||
			b.Endpoint.Addr != "old:1" {
			t.Errorf("watched %+v and %+v", a, b)
		}
		want = append(want, target+"/old:1")
		mineList, err := mine.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		theirList, err := their.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(mineList)); !slices.Equal(got, want) {
			t.Errorf("listed %v, want %v", got, want)
		}
		for key, e := range theirList {
			if !reflect.DeepEqual(mineList[key], endpoints.Endpoint(e)) {
				t.Errorf("%s is %+v here and %+v there", key, mineList[key], e)
			}
		}
		if err := mine.DeleteEndpoint(ctx, target+"/theirs0"); err != nil {
			t.Fatal(err)
		}
		if err := their.DeleteEndpoint(ctx, target+"/ours0"); err != nil {
			t.Fatal(err)
		}
		// One delivery may have both deletions; ours then has them in the order of keys.
		gone := []string{target + "/ours0", target + "/theirs0"}
		a := two(mineSee, func(u *endpoints.Update) (string, bool) { return u.Key, u.Op == endpoints.Delete })
		if !slices.Equal(a, gone) {
			t.Errorf("we watched the end of %v", a)
		}
		b := two(theySee, func(u *theirendpoints.Update) (string, bool) { return u.Key, u.Op == theirendpoints.Delete })
		if !slices.Equal(b, gone) {
			t.Errorf("they watched the end of %v", b)
		}
	}
}

// two receives two deletions and returns their keys, sorted.
func two[U any](changes <-chan []*U, deleted func(*U) (key string, yes bool)) (keys []string) {
	for n := 0; n < 2; {
		list, open := <-changes
		if !open {
			break
		}
		for _, u := range list {
			if key, yes := deleted(u); yes {
				keys = append(keys, key)
			}
			n++
		}
	}
	slices.Sort(keys)
	return keys
}

// TestResolvers: each resolver finds what each manager registers.
func TestResolvers(t *testing.T) {
	o, x := dial(t)
	ctx := within(t)
	mine, err := endpoints.NewManager(o, "svc")
	if err != nil {
		t.Fatal(err)
	}
	their, err := theirendpoints.NewManager(x, "svc")
	if err != nil {
		t.Fatal(err)
	}
	one, two := healthServer(t), healthServer(t)
	if err := mine.AddEndpoint(ctx, "svc/one", endpoints.Endpoint{Addr: one}); err != nil {
		t.Fatal(err)
	}
	if err := their.AddEndpoint(ctx, "svc/two",
		theirendpoints.Endpoint{Addr: two, Metadata: map[string]any{"zone": "b"}}); err != nil {
		t.Fatal(err)
	}
	mineBuild, err := resolver.NewBuilder(o)
	if err != nil {
		t.Fatal(err)
	}
	theirBuild, err := theirresolver.NewBuilder(x)
	if err != nil {
		t.Fatal(err)
	}
	conns := make(map[string]*grpc.ClientConn)
	for name, b := range map[string]gresolver.Builder{"ours": mineBuild, "theirs": theirBuild} {
		cc, err := grpc.NewClient(
			"etcd:///svc",
			grpc.WithResolvers(b),
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
		)
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		conns[name] = cc
	}
	reach := func(want ...string) {
		t.Helper()
		slices.Sort(want)
		for name, cc := range conns {
			for {
				seen := make(map[string]bool)
				for range 4 {
					var p peer.Peer
					if _, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Peer(&p),
						grpc.WaitForReady(true)); err != nil {
						t.Fatalf("%s: %v, want %v", name, err, want)
					}
					seen[p.Addr.String()] = true
				}
				if slices.Equal(slices.Sorted(maps.Keys(seen)), want) {
					break
				}
			}
		}
	}
	reach(one, two)
	if err := their.DeleteEndpoint(ctx, "svc/one"); err != nil {
		t.Fatal(err)
	}
	reach(two)
	err = (&naming.GRPCResolver{Client: o}).Update(ctx, "svc", naming.Update{Op: naming.Add, Addr: one})
	if err != nil {
		t.Fatal(err)
	}
	reach(one, two)
}

func healthServer(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	var served sync.WaitGroup
	served.Go(func() { s.Serve(l) })
	t.Cleanup(func() { s.Stop(); served.Wait() })
	return l.Addr().String()
}
