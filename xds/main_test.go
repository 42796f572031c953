package xds_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	grpcxds "google.golang.org/grpc/xds"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/xds"
)

func within(t testing.TB) context.Context { return clienttest.Within(t, clienttest.Long) }

// plane is a control plane that listens.
type plane struct {
	server *xds.Server
	at     string
	stop   func()
}

// serve runs a control plane until the test ends.
func serve(t testing.TB, client *clientv3.Client, at string, opts ...discovery.DirectoryOption) *plane {
	t.Helper()
	return serveLimited(t, client, at, nil, opts...)
}

// serveLimited is serve with options for the control plane.
func serveLimited(
	t testing.TB, client *clientv3.Client, at string, own []xds.Option, opts ...discovery.DirectoryOption,
) *plane {
	t.Helper()
	d := discovery.NewDirectory(client, opts...)
	server, err := xds.New(d, append(own, xds.WithLog(func(line string) { t.Error(line) }))...)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(xds.ServerOptions()...)
	server.Register(g)
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	p := &plane{server: server, at: l.Addr().String()}
	p.stop = sync.OnceFunc(func() {
		server.Close()
		g.Stop()
		_ = d.Close() // etcd may be away
		if err := clienttest.Receive(t, "the end of the control plane", done); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

// dial makes a channel to a service with gRPC's own xDS client.
func dial(t testing.TB, plane, service string) *grpc.ClientConn {
	t.Helper()
	builder, err := grpcxds.NewXDSResolverWithConfigForTesting(fmt.Appendf(nil, `{
		"xds_servers": [{"server_uri": %q, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
		"node": {"id": "test"}}`, plane))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(
		"xds:///"+service,
		grpc.WithResolvers(builder),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// where asks a service which of its instances answers.
func where(ctx context.Context, conn *grpc.ClientConn) (string, error) {
	var id wrapperspb.StringValue
	err := conn.Invoke(ctx, "/test.Where/Is", &emptypb.Empty{}, &id, grpc.WaitForReady(true))
	return id.Value, err
}

// shares counts the calls, of n, that each instance answers; all must be answered.
func shares(t testing.TB, conn *grpc.ClientConn, n int) map[string]int {
	t.Helper()
	got := make(map[string]int)
	for range n {
		id, err := where(within(t), conn)
		if err != nil {
			t.Fatal(err)
		}
		got[id]++
	}
	return got
}

// backend is a service's process: it answers with its id.
func backend(t testing.TB, id string) (address string, stop func()) {
	t.Helper()
	return slowBackend(t, id, 0)
}

func slowBackend(t testing.TB, id string, takes time.Duration) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		select {
		case <-time.After(takes):
		case <-stream.Context().Done():
		}
		return stream.SendMsg(wrapperspb.String(id))
	}))
	go func() { _ = g.Serve(l) }()
	stop = sync.OnceFunc(g.GracefulStop)
	t.Cleanup(g.Stop)
	return l.Addr().String(), stop
}

// register registers an instance until the test ends.
func register(t testing.TB, client *clientv3.Client, in discovery.Instance) *discovery.Registration {
	t.Helper()
	r := discovery.NewRegistrar(client)
	t.Cleanup(func() { _ = r.Close() }) // etcd may be away
	g, err := r.Register(within(t), in)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// running registers an instance and runs its process.
func running(t testing.TB, client *clientv3.Client, in discovery.Instance) (*discovery.Registration, func()) {
	t.Helper()
	at, stop := backend(t, in.ID)
	in.Addresses = []string{at}
	return register(t, client, in), stop
}

// control changes what operators set for a service, until the test ends.
func control(t testing.TB, client *clientv3.Client, service string, change func(*discovery.Control)) {
	t.Helper()
	err := discovery.ChangeControl(
		within(t),
		client,
		service,
		func(c *discovery.Control) error { change(c); return nil },
	)
	if err != nil {
		t.Fatal(err)
	}
}

// only reports whether exactly these instances answer calls.
func only(t testing.TB, conn *grpc.ClientConn, ids ...string) func() bool {
	return func() bool {
		got := shares(t, conn, 30)
		for _, id := range ids {
			if got[id] == 0 {
				return false
			}
		}
		return len(got) == len(ids)
	}
}
