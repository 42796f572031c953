package grpcdisc_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// fakeConn stands for gRPC and records its calls.
type fakeConn struct {
	resolver.ClientConn
	states chan resolver.State
	errs   chan error
}

func (f *fakeConn) UpdateState(s resolver.State) error { f.states <- s; return nil }
func (f *fakeConn) ReportError(err error)              { f.errs <- err }
func (f *fakeConn) ParseServiceConfig(string) *serviceconfig.ParseResult {
	return &serviceconfig.ParseResult{}
}

func TestState(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	put := func(in discovery.Instance) *discovery.Registration {
		t.Helper()
		in.Service = t.Name()
		g, err := r.Register(within(t), in)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	full := put(
		discovery.Instance{
			ID:        "a",
			Addresses: []string{"10.0.0.1:80"},
			Zone:      "east",
			Weight:    7,
			Metadata:  map[string]string{"k": "v"},
		},
	)
	put(
		discovery.Instance{
			ID:        "b",
			Addresses: []string{"http://10.0.0.2:80", "grpc://10.0.0.2:81", "grpc://10.0.0.2:82"},
		},
	)
	put(discovery.Instance{ID: "c", Addresses: []string{"http://10.0.0.3:80", "10.0.0.3:81"}})
	put(discovery.Instance{ID: "d", Addresses: []string{"10.0.0.1:80"}}) // as a
	put(discovery.Instance{ID: "e", Addresses: []string{"10.0.0.5:80"}, State: discovery.Draining})
	if _, err := c.Put(within(t), format(t).Prefix(t.Name())+"f", "garbage"); err != nil {
		t.Fatal(err)
	}
	f := &fakeConn{states: make(chan resolver.State, 10), errs: make(chan error, 10)}
	target := resolver.Target{}
	target.URL.Scheme, target.URL.Path = "etcd", "/"+t.Name()
	res, err := grpcdisc.NewBuilder(directory(t, c)).Build(target, f, resolver.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	s := clienttest.Receive(t, "the state", f.states)
	var got []string
	for _, e := range s.Endpoints {
		in := grpcdisc.Instance(e.Attributes)
		got = append(got, in.ID)
		for _, a := range e.Addresses {
			got = append(got, a.Addr)
		}
	}
	if text := strings.Join(got, " "); text != "a 10.0.0.1:80 b 10.0.0.2:81 10.0.0.2:82 c 10.0.0.3:81" {
		t.Error(text)
	}
	a := grpcdisc.Instance(s.Endpoints[0].Attributes)
	if a.Zone != "east" || a.Weight != 7 || a.Metadata["k"] != "v" {
		t.Errorf("%+v", a)
	}
	//lint:ignore SA1019 older balancers look there
	if old := grpcdisc.Instance(s.Addresses[0].BalancerAttributes); len(s.Addresses) != 4 || old != a {
		t.Errorf("%+v", s.Addresses)
	}
	if grpcdisc.Instance(nil) != nil {
		t.Error("no attributes gave an instance")
	}
	if !s.Endpoints[0].Attributes.Equal(s.Endpoints[0].Attributes) ||
		s.Endpoints[0].Attributes.Equal(s.Endpoints[1].Attributes) {
		t.Error("attributes are compared wrongly")
	}
	err = full.Update(within(t), func(in *discovery.Instance) { in.Metadata = map[string]string{"k": "w"} })
	if err != nil {
		t.Fatal(err)
	}
	next := clienttest.Receive(t, "the change", f.states)
	if in := grpcdisc.Instance(next.Endpoints[0].Attributes); in.Metadata["k"] != "w" {
		t.Errorf("%+v", in)
	}
	if !next.Endpoints[0].Addresses[0].Equal(s.Endpoints[0].Addresses[0]) {
		t.Error("the address has changed: gRPC would connect anew")
	}
	res.ResolveNow(resolver.ResolveNowOptions{})
}

func TestBuildRefuses(t *testing.T) {
	d := directory(t, clienttest.Shared(t))
	b := grpcdisc.NewBuilder(d)
	target := resolver.Target{}
	target.URL.Scheme, target.URL.Host = "etcd", "orders"
	if _, err := b.Build(target, &fakeConn{}, resolver.BuildOptions{}); err == nil {
		t.Error("a target without a service")
	}
	target.URL.Path = "/a b"
	if _, err := b.Build(target, &fakeConn{}, resolver.BuildOptions{}); !errors.Is(err, discovery.ErrInvalid) {
		t.Errorf("%v", err)
	}
	d.Close()
	target.URL.Path = "/orders"
	if _, err := b.Build(target, &fakeConn{}, resolver.BuildOptions{}); !errors.Is(err, discovery.ErrClosed) {
		t.Errorf("%v", err)
	}
}

// A service that has no instances fails calls at once, unless they wait.
func TestServiceWithoutInstancesFailsCallsAtOnce(t *testing.T) {
	for _, name := range []string{grpcdisc.P2C, "round_robin"} {
		t.Run(name, func(t *testing.T) {
			c := clienttest.Shared(t)
			r := registrar(t, c)
			cc := connect(t, directory(t, c), lb(name, ""))
			fails := func() {
				t.Helper()
				begin := time.Now()
				_, err := call(within(t), cc)
				if status.Code(err) != codes.Unavailable {
					t.Errorf("%v", err)
				}
				t.Logf("failed after %v: %v", since(begin), err)
			}
			fails()
			if name == grpcdisc.P2C { // the other does not say what resolvers report
				clienttest.Await(t, "the error has the number of instances", func() bool {
					_, err := call(within(t), cc)
					return strings.Contains(err.Error(), "no instance to call: 0 registered")
				})
			}
			waited := make(chan error, 1)
			go func() {
				_, err := call(within(t), cc, grpc.WaitForReady(true))
				waited <- err
			}()
			s := serve(t)
			g := register(t, r, "a", s)
			if err := clienttest.Receive(t, "the call that waits", waited); err != nil {
				t.Error(err)
			}
			if err := g.Close(within(t)); err != nil {
				t.Fatal(err)
			}
			clienttest.Await(t, "calls fail again", func() bool { _, err := call(within(t), cc); return err != nil })
			fails()
		})
	}
}

// A connection can be made while etcd is away. Its calls fail with the reason, and succeed once
// etcd is back.
func TestEtcdAway(t *testing.T) {
	etcdtest.CheckLeaks(t)
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	proxy := cluster.Members()[0].Proxy()
	s := serve(t)
	register(t, registrar(t, clienttest.Dial(t, cluster.Members()[0].Direct)), "a", s)
	c := clienttest.Dial(t, cluster.Endpoints()...)
	for name, fault := range map[string]func(){"refused": proxy.Cut, "silent": func() { proxy.BlackHole() }} {
		service := t.Name()
		t.Run(name, func(t *testing.T) {
			fault()
			d := discovery.NewDirectory(c, discovery.WithFormat(discovery.JSON{Base: service + "/"}))
			defer d.Close()
			cc, err := grpc.NewClient(
				"etcd:///"+service,
				grpc.WithResolvers(grpcdisc.NewBuilder(d)),
				grpc.WithTransportCredentials(
					insecure.NewCredentials(),
				),
				grpc.WithDefaultServiceConfig(lb(grpcdisc.P2C, "")),
			)
			if err != nil {
				t.Fatal(err)
			}
			defer cc.Close()
			begin := time.Now()
			_, err = call(within(t), cc)
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "etcd has not said yet") {
				t.Errorf("%v", err)
			}
			t.Logf("failed after %v: %v", since(begin), err)
			got := make(chan error, 1)
			go func() {
				_, err := call(within(t), cc, grpc.WaitForReady(true))
				got <- err
			}()
			if err := proxy.Heal(); err != nil {
				t.Fatal(err)
			}
			begin = time.Now()
			if err := clienttest.Receive(t, "the call that waits", got); err != nil {
				t.Error(err)
			}
			t.Logf("resolved %v after etcd was back", since(begin))
			proxy.Cut()
			sub, err := d.Subscribe(service)
			if err != nil {
				t.Fatal(err)
			}
			clienttest.Await(t, "the view is stale", func() bool { return sub.Status().Stale })
			for range 10 {
				if _, err := call(within(t), cc); err != nil {
					t.Errorf("etcd is away again: %v", err)
				}
			}
			cc.Close() // waits for nothing
			if err := proxy.Heal(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Connections that are opened and closed in any order leave nothing behind.
func TestManyConnectionsLeaveNothingBehind(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := clienttest.Shared(t)
	s := serve(t)
	register(t, registrar(t, c), "a", s)
	d := directory(t, c)
	for i := range 40 {
		cc := connect(t, d, lb(grpcdisc.P2C, ""))
		cc.Connect()
		if i%2 == 0 {
			if _, err := call(within(t), cc); err != nil {
				t.Fatal(err)
			}
		}
		if i%3 == 0 {
			cc.Close()
		}
	}
	d.Close()
	open := connect(t, d, lb(grpcdisc.P2C, ""))
	if _, err := call(within(t), open); err == nil {
		t.Error("a closed directory resolves")
	}
}

// A builder without a directory makes no connection, and says why.
func TestBuilderWithoutADirectoryGivesTheReason(t *testing.T) {
	cc, err := grpc.NewClient(
		"etcd:///"+t.Name(),
		grpc.WithResolvers(grpcdisc.NewBuilder(nil)),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	if _, err := call(within(t), cc); err == nil || !strings.Contains(err.Error(), "the directory is nil") {
		t.Errorf("%v", err)
	}
}
