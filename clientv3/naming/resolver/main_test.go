package resolver_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/clienttest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	gresolver "google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming/endpoints"
	"github.com/fairlead-go/fairlead/clientv3/naming/resolver"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

func builder(t testing.TB, c *clientv3.Client) gresolver.Builder {
	t.Helper()
	b, err := resolver.NewBuilder(c)
	clienttest.OK(t, "NewBuilder", err)
	return b
}

// service registers the endpoints of one service.
type service struct {
	endpoints.Manager
	t    testing.TB
	name string
}

func newService(t testing.TB, c *clientv3.Client, name string) *service {
	t.Helper()
	m, err := endpoints.NewManager(c, name)
	clienttest.OK(t, "NewManager", err)
	_, err = c.Delete(within(t), name+"/", clientv3.WithPrefix()) // keys of an earlier run
	clienttest.OK(t, "Delete", err)
	return &service{m, t, name}
}

func (s *service) add(key, addr string, metadata any, opts ...clientv3.OpOption) {
	s.t.Helper()
	e := endpoints.Endpoint{Addr: addr, Metadata: metadata}
	clienttest.OK(s.t, "AddEndpoint", s.AddEndpoint(within(s.t), s.name+"/"+key, e, opts...))
}

func (s *service) remove(key string) {
	s.t.Helper()
	clienttest.OK(s.t, "DeleteEndpoint", s.DeleteEndpoint(within(s.t), s.name+"/"+key))
}

// server is a real gRPC server; it answers health checks.
func server(t testing.TB) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	clienttest.OK(t, "Listen", err)
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	var done sync.WaitGroup
	done.Go(func() { s.Serve(l) })
	t.Cleanup(func() { s.Stop(); done.Wait() })
	return l.Addr().String()
}

const roundRobin = `{"loadBalancingConfig":[{"round_robin":{}}]}`

func connect(t testing.TB, b gresolver.Builder, target string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient(target, append([]grpc.DialOption{grpc.WithResolvers(b),
		grpc.WithTransportCredentials(
			insecure.NewCredentials(),
		), grpc.WithDefaultServiceConfig(roundRobin)}, opts...)...)
	clienttest.OK(t, "grpc.NewClient", err)
	t.Cleanup(func() { cc.Close() })
	return cc
}

// call makes one call and returns the address of the server that answered.
func call(ctx context.Context, cc *grpc.ClientConn, opts ...grpc.CallOption) (addr string, err error) {
	var p peer.Peer
	_, err = healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{}, append(opts, grpc.Peer(&p))...)
	if err != nil {
		return "", err
	}
	return p.Addr.String(), nil
}

// spread makes rounds of calls until they go to these servers in equal parts.
func spread(t testing.TB, cc *grpc.ClientConn, want ...string) {
	t.Helper()
	ctx := within(t)
	const each = 10
	var counts map[string]int
	for ctx.Err() == nil {
		counts = make(map[string]int)
		for range each * len(want) {
			addr, err := call(ctx, cc, grpc.WaitForReady(true))
			clienttest.OK(t, "call", err)
			counts[addr]++
		}
		even := len(counts) == len(want)
		for _, addr := range want {
			even = even && counts[addr] == each
		}
		if even {
			return
		}
	}
	t.Fatalf("calls go to %v, want %v", counts, want)
}

// fakeConn stands for gRPC and notes the states and errors that it gets.
type fakeConn struct {
	gresolver.ClientConn
	states chan gresolver.State
	errs   chan error
}

func (f *fakeConn) UpdateState(s gresolver.State) error { f.states <- s; return nil }
func (f *fakeConn) ReportError(err error)               { f.errs <- err }
func (f *fakeConn) ParseServiceConfig(string) *serviceconfig.ParseResult {
	return nil
}

// resolve builds a resolver for a fake connection.
func resolve(t testing.TB, b gresolver.Builder, target string) *fakeConn {
	t.Helper()
	f := &fakeConn{states: make(chan gresolver.State, 1000), errs: make(chan error, 1000)}
	r, err := b.Build(parse(t, target), f, gresolver.BuildOptions{})
	clienttest.OK(t, "Build", err)
	t.Cleanup(r.Close)
	return f
}

func (f *fakeConn) next(t testing.TB) []string {
	t.Helper()
	select {
	case s := <-f.states:
		return addrs(s)
	case <-time.After(clienttest.Long):
		t.Fatalf("no state within %v", clienttest.Long)
	}
	return nil
}

func (f *fakeConn) reach(t testing.TB, want ...string) {
	t.Helper()
	for !slices.Equal(f.next(t), want) {
	}
}

func addrs(s gresolver.State) []string {
	list := make([]string, 0)
	for _, a := range s.Addresses {
		list = append(list, a.Addr)
	}
	return list
}

func code(err error) codes.Code { return clientv3.Code(err) }

func within(t testing.TB) context.Context { return clienttest.Within(t, clienttest.Long) }
