package grpcdisc_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(processEnv) != "" {
		process()
		return
	}
	etcdtest.Main(m)
}

func within(t testing.TB) context.Context { return clienttest.Within(t, clienttest.Long) }

func format(t testing.TB) discovery.JSON { return discovery.JSON{Base: t.Name() + "/"} }

func directory(t testing.TB, c *clientv3.Client, opts ...discovery.DirectoryOption) *discovery.Directory {
	t.Helper()
	d := discovery.NewDirectory(
		c,
		append(
			[]discovery.DirectoryOption{
				discovery.WithFormat(format(t)),
				discovery.WithLog(slog.New(slog.DiscardHandler)),
			},
			opts...)...)
	t.Cleanup(func() { d.Close() })
	return d
}

func registrar(t testing.TB, c *clientv3.Client) *discovery.Registrar {
	t.Helper()
	r := discovery.NewRegistrar(c, discovery.WithFormat(format(t)))
	t.Cleanup(func() { r.Close() })
	return r
}

// server is a real gRPC server that answers health checks. A test can make it slow, or let it
// answer with an error.
type server struct {
	addr     string
	grpc     *grpc.Server
	accepted atomic.Int32
	calls    atomic.Int32
	fails    atomic.Bool
	brief    atomic.Bool   // streams end at once
	takes    atomic.Int64  // how long a call takes, in nanoseconds
	hold     chan struct{} // calls with the service "hold" wait for it to be closed
	held     chan struct{} // gets an element for each of them
}

type counting struct {
	net.Listener
	s *server
}

func (l counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.s.accepted.Add(1)
	}
	return c, err
}

func serve(t testing.TB) *server {
	t.Helper()
	return serveAt(t, "127.0.0.1:0")
}

func serveAt(t testing.TB, addr string) *server {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: l.Addr().String(), hold: make(chan struct{}), held: make(chan struct{}, 100)}
	s.grpc = grpc.NewServer(
		grpc.UnaryInterceptor(
			func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				s.calls.Add(1)
				if r, ok := req.(*healthpb.HealthCheckRequest); ok && r.Service == "hold" {
					s.held <- struct{}{}
					select {
					case <-s.hold:
					case <-ctx.Done():
					}
					return &healthpb.HealthCheckResponse{}, nil
				}
				if err := grpc.SetHeader(ctx, metadata.Pairs("server", s.addr)); err != nil {
					return nil, err
				}
				<-time.After(time.Duration(s.takes.Load())) // it does not notice that nobody waits any more
				if s.fails.Load() {
					return nil, status.Error(codes.Unavailable, "as the test wants")
				}
				return next(ctx, req)
			},
		),
		grpc.StreamInterceptor(
			func(_ any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, _ grpc.StreamHandler) error {
				if s.brief.Load() {
					return nil
				}
				<-stream.Context().Done() // a stream on which nothing comes
				return stream.Context().Err()
			},
		),
	)
	healthpb.RegisterHealthServer(s.grpc, health.NewServer())
	var done sync.WaitGroup
	done.Go(func() { s.grpc.Serve(counting{l, s}) })
	t.Cleanup(func() { s.grpc.Stop(); done.Wait() })
	return s
}

func register(
	t testing.TB,
	r *discovery.Registrar,
	id string,
	s *server,
	change ...func(*discovery.Instance),
) *discovery.Registration {
	t.Helper()
	in := discovery.Instance{Service: t.Name(), ID: id, Addresses: []string{s.addr}}
	for _, f := range change {
		f(&in)
	}
	g, err := r.Register(within(t), in)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func lb(name, config string) string {
	return fmt.Sprintf(`{"loadBalancingConfig":[{%q:{%s}}]}`, name, config)
}

func connect(t testing.TB, d *discovery.Directory, config string) *grpc.ClientConn {
	t.Helper()
	return connectBy(t, grpcdisc.NewBuilder(d), config)
}

func connectBy(t testing.TB, b resolver.Builder, config string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("etcd:///"+t.Name(), append([]grpc.DialOption{
		grpc.WithResolvers(b), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(config),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// call makes one call and says who answered.
func call(ctx context.Context, cc *grpc.ClientConn, opts ...grpc.CallOption) (addr string, err error) {
	var p peer.Peer
	_, err = healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{}, append(opts, grpc.Peer(&p))...)
	if err != nil {
		return "", err
	}
	return p.Addr.String(), nil
}

// spread counts who answers n calls; "" stands for calls that a dying server did not answer.
func spread(t testing.TB, cc *grpc.ClientConn, n int) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clienttest.Long)
	defer cancel()
	got := make(map[string]int)
	for range n {
		addr, err := call(ctx, cc, grpc.WaitForReady(true))
		if err != nil && status.Code(err) != codes.Unavailable {
			t.Fatal(err)
		}
		got[addr]++
	}
	return got
}

// awaitSpread waits until calls go to these servers and no others.
func awaitSpread(t testing.TB, cc *grpc.ClientConn, want ...*server) {
	t.Helper()
	clienttest.Await(t, fmt.Sprintf("calls go to %d servers", len(want)), func() bool {
		got := spread(t, cc, 20*len(want))
		for _, s := range want {
			if got[s.addr] == 0 {
				return false
			}
		}
		return len(got) == len(want)
	})
}

func since(begin time.Time) time.Duration { return time.Since(begin).Round(time.Millisecond) }
