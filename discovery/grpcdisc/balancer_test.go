package grpcdisc_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

var names = []string{
	grpcdisc.RoundRobin, grpcdisc.Random, grpcdisc.Weighted, grpcdisc.P2C, grpcdisc.LeastOutstanding, grpcdisc.Hash,
}

func TestBalancers(t *testing.T) {
	c := clienttest.Shared(t)
	r, d := registrar(t, c), directory(t, c)
	var servers []*server
	for i := range 3 {
		servers = append(servers, serve(t))
		register(t, r, fmt.Sprint(i), servers[i])
	}
	service := t.Name()
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			cc, err := grpc.NewClient("etcd:///"+service, grpc.WithResolvers(grpcdisc.NewBuilder(d)),
				grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(lb(name, "")))
			if err != nil {
				t.Fatal(err)
			}
			defer cc.Close()
			awaitSpread(t, cc, servers...)
			got := spread(t, cc, 300)
			if name == grpcdisc.RoundRobin || name == grpcdisc.Weighted {
				for _, s := range servers {
					if got[s.addr] != 100 {
						t.Errorf("%v", got)
					}
				}
			}
			if name == grpcdisc.Hash {
				ctx := pick.WithKey(within(t), "me")
				first, err := call(ctx, cc)
				for range 20 {
					if addr, err2 := call(ctx, cc); addr != first || err != nil || err2 != nil {
						t.Fatalf("%v, %v, first %v, %v", addr, err2, first, err)
					}
				}
			}
		})
	}
}

// A change of the weight changes the share, not the connection.
func TestChangedWeightKeepsTheConnection(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	one, two := serve(t), serve(t)
	register(t, r, "1", one)
	g := register(t, r, "2", two)
	cc := connect(t, directory(t, c), lb(grpcdisc.Weighted, ""))
	awaitSpread(t, cc, one, two)
	err := g.Update(within(t), func(in *discovery.Instance) { in.Weight = 3 * discovery.DefaultWeight })
	if err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "the new weight is known", func() bool { return spread(t, cc, 40)[two.addr] == 30 })
	if n := two.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// A draining instance gets no new calls from then on, and finishes the calls that it has.
func TestDrainingInstanceGetsNoNewCalls(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	one, two := serve(t), serve(t)
	a := register(t, r, "1", one)
	register(t, r, "2", two)
	cc := connect(t, directory(t, c, discovery.WithAnnounce("me")), lb(grpcdisc.RoundRobin, ""))
	awaitSpread(t, cc, one, two)
	slow := make(chan error, 2)
	for range 2 { // one of them gets to the first server
		go func() {
			_, err := healthpb.NewHealthClient(cc).Check(within(t), &healthpb.HealthCheckRequest{Service: "hold"})
			slow <- err
		}()
	}
	clienttest.Receive(t, "the slow call", one.held)
	if err := a.Drain(within(t), clienttest.Long); err != nil {
		t.Fatal(err)
	}
	before := one.calls.Load()
	if got := spread(t, cc, 50); got[two.addr] != 50 {
		t.Errorf("%v", got)
	}
	if one.calls.Load() != before {
		t.Error("the draining instance got calls")
	}
	close(one.hold)
	close(two.hold)
	for range 2 {
		if err := clienttest.Receive(t, "the slow call", slow); err != nil {
			t.Errorf("a call under way: %v", err)
		}
	}
}

// An instance that answers with Unavailable is left out after a few calls; a killed one at once.
func TestFailingInstanceIsLeftOut(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	servers := []*server{serve(t), serve(t), serve(t)}
	for i, s := range servers {
		register(t, r, fmt.Sprint(i), s)
	}
	cc := connect(t, directory(t, c), lb(grpcdisc.RoundRobin, `"ejection":{"failures":3,"base":"1s"}`))
	awaitSpread(t, cc, servers...)
	servers[1].fails.Store(true)
	ctx := within(t)
	failed := 0
	for range 300 {
		switch _, err := call(ctx, cc); status.Code(err) {
		case codes.OK:
		case codes.Unavailable:
			failed++
		default:
			t.Fatal(err)
		}
	}
	if failed < 3 || failed > 50 { // the machine may be slow to take it out
		t.Errorf("%d of 300 calls have failed", failed)
	}
	servers[1].fails.Store(false)
	awaitSpread(t, cc, servers...)
	servers[0].grpc.Stop()
	awaitSpread(t, cc, servers[1:]...)
}

// A stream that is quiet until its deadline says nothing about its instance, however fast other
// calls are.
func TestQuietStreamBlamesNobody(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	a, b := serve(t), serve(t)
	register(t, r, "a", a)
	register(t, r, "b", b)
	ejected := make(chan pick.EjectedInfo, 10)
	builder := grpcdisc.NewBuilder(directory(t, c),
		grpcdisc.WithPicking(pick.WithHooks(pick.Hooks{Ejected: func(i pick.EjectedInfo) { ejected <- i }})))
	cc := connectBy(t, builder, lb("fairlead_p2c", ""))
	awaitSpread(t, cc, a, b) // what calls take is known
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			stream, err := healthpb.NewHealthClient(cc).Watch(ctx, &healthpb.HealthCheckRequest{})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
	awaitSpread(t, cc, a, b)
	if len(ejected) > 0 {
		t.Errorf("%+v", <-ejected)
	}
}

func TestZoneAndSubset(t *testing.T) {
	c := clienttest.Shared(t)
	r, d := registrar(t, c), directory(t, c)
	in := func(zone string) func(*discovery.Instance) {
		return func(in *discovery.Instance) { in.Zone = zone }
	}
	var east, west []*server
	for i := range 4 {
		east, west = append(east, serve(t)), append(west, serve(t))
		register(t, r, fmt.Sprint("east", i), east[i], in("east"))
		register(t, r, fmt.Sprint("west", i), west[i], in("west"))
	}
	config := `"zone":"east","subset":2,"client":"me","warmUp":"1s","spillOver":100`
	cc := connect(t, d, lb(grpcdisc.LeastOutstanding, config))
	var got map[string]int
	clienttest.Await(t, "two of the zone are called", func() bool {
		got = spread(t, cc, 40)
		n := 0
		for _, s := range east {
			if got[s.addr] > 0 {
				n++
			}
		}
		return n == 2 && len(got) == 2
	})
	total := func(list []*server) (n int32) {
		for _, s := range list {
			n += s.accepted.Load()
		}
		return n
	}
	clienttest.Await(t, "connections to two of each", func() bool { return total(west) == 2 && total(east) == 2 })
	for _, s := range east {
		s.grpc.Stop()
	}
	clienttest.Await(t, "calls go elsewhere", func() bool {
		n := 0
		got := spread(t, cc, 10)
		for _, s := range west {
			n += got[s.addr]
		}
		return n == 10
	})
}

// Zones in an order: when the first has gone, calls go to the next.
func TestZonesInOrder(t *testing.T) {
	c := clienttest.Shared(t)
	r, d := registrar(t, c), directory(t, c)
	of := make(map[string]*server)
	for _, zone := range []string{"east", "north", "west"} {
		of[zone] = serve(t)
		register(t, r, zone, of[zone], func(in *discovery.Instance) { in.Zone = zone })
	}
	cc := connect(t, d, lb(grpcdisc.P2C, `"zone":["north","west"],"subset":1`))
	for _, zone := range []string{"north", "west", "east"} {
		awaitSpread(t, cc, of[zone])
		of[zone].grpc.Stop()
	}
}

// The balancers work without our resolver.
func TestBalancersWorkWithAnotherResolver(t *testing.T) {
	s := serve(t)
	cc, err := grpc.NewClient("passthrough:///"+s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(lb(grpcdisc.P2C, "")))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	if _, err := call(within(t), cc); err != nil {
		t.Error(err)
	}
	s.grpc.Stop()
	clienttest.Await(t, "a call fails with Unavailable", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := call(ctx, cc)
		return status.Code(err) == codes.Unavailable
	})
}

// A new service config takes effect, and so does a state without endpoints. No call that waits
// fails meanwhile.
func TestChangedConfigFailsNoCallThatWaits(t *testing.T) {
	one, two := serve(t), serve(t)
	r := manual.NewBuilderWithScheme("test")
	cc, err := grpc.NewClient(
		"test:///x",
		grpc.WithResolvers(r),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	state := func(config string, servers ...*server) resolver.State {
		s := resolver.State{ServiceConfig: r.CC().ParseServiceConfig(config)}
		for _, server := range servers {
			s.Endpoints = append(s.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: server.addr}}})
		}
		return s
	}
	cc.Connect()
	clienttest.Await(t, "the resolver is built", func() bool { return r.CC() != nil })
	ctx, cancel := context.WithCancel(within(t))
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for ctx.Err() == nil {
				if _, err := call(within(t), cc, grpc.WaitForReady(true)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 20 {
		r.CC().UpdateState(state(lb(names[i%6], fmt.Sprintf(`"warmUp":"%ds"`, i/2)), one, two))
		awaitSpread(t, cc, one, two)
		r.CC().UpdateState(state(lb(names[i%6], fmt.Sprintf(`"warmUp":"%ds"`, i/3))))
		r.CC().ReportError(errors.New("nobody knows"))
	}
	r.CC().UpdateState(state(lb(grpcdisc.P2C, ""), two))
	awaitSpread(t, cc, two)
	cancel()
	load.Wait()
}

func TestConfig(t *testing.T) {
	parser := balancer.Get(grpcdisc.P2C).(balancer.ConfigParser)
	for _, good := range []string{
		`{}`, `{"unknown":1}`, `{"zone":["a","b"]}`, `{"zone":"a","warmUp":"1m","ejection":{"share":1,"base":"1s"}}`,
	} {
		if _, err := parser.ParseConfig([]byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		``, `[]`, `{"subset":-1}`, `{"warmUp":"soon"}`, `{"warmUp":"-1s"}`, `{"ejection":{"share":2}}`,
		`{"ejection":{"failures":4294967296}}`, `{"ejection":{"base":"2m","max":"1m"}}`, `{"zone":1}`,
		`{"zone":[1]}`, `{"filter":"v1,"}`,
	} {
		if _, err := parser.ParseConfig([]byte(bad)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
