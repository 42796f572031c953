package discovery_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// The record follows the check: it is withdrawn while the check fails or hangs, and back when it
// succeeds.
func TestSupervise(t *testing.T) {
	c := clienttest.Shared(t)
	var seen events
	g := register(t, registrar(t, c, discovery.WithEvents(seen.add)), orders(t, "a"))
	var sick atomic.Bool
	var hang atomic.Pointer[chan struct{}]
	release := make(chan struct{})
	g.Supervise(func(context.Context) error {
		if h := hang.Load(); h != nil {
			<-*h // the check ignores its context
		}
		if sick.Load() {
			return errors.New("sick")
		}
		return nil
	}, 20*time.Millisecond)
	sick.Store(true)
	seen.await(t, discovery.Withdrawn, 1)
	clienttest.Await(t, "the record is gone", func() bool { return value(t, c, g.Key()) == "" })
	sick.Store(false)
	seen.await(t, discovery.Restored, 1)
	if value(t, c, g.Key()) == "" {
		t.Error("the record is not back")
	}
	hang.Store(&release)
	seen.await(t, discovery.Withdrawn, 2)
	hang.Store(nil)
	close(release)
	seen.await(t, discovery.Restored, 2)
	if err := g.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}

func TestChecks(t *testing.T) {
	status := http.StatusOK
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer web.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	state := health.NewServer()
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, state)
	go server.Serve(l)
	defer server.Stop()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	free.Close()

	want := func(what string, check discovery.Check, good bool) {
		t.Helper()
		if err := check(within(t)); (err == nil) != good {
			t.Errorf("%s: %v", what, err)
		}
	}
	want("HTTP", discovery.HTTPCheck(web.URL), true)
	status = http.StatusServiceUnavailable
	want("HTTP 503", discovery.HTTPCheck(web.URL), false)
	want("HTTP to nobody", discovery.HTTPCheck("http://"+nobody), false)
	want("TCP", discovery.TCPCheck(l.Addr().String()), true)
	want("TCP to nobody", discovery.TCPCheck(nobody), false)
	want("gRPC", discovery.GRPCCheck(l.Addr().String(), ""), true)
	state.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	want("gRPC not serving", discovery.GRPCCheck(l.Addr().String(), ""), false)
	want("gRPC of an unknown service", discovery.GRPCCheck(l.Addr().String(), "x"), false)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	want("gRPC to nobody", func(context.Context) error { return discovery.GRPCCheck(nobody, "")(ctx) }, false)
}

// A nil check fails, and is reported as any other.
func TestNilCheck(t *testing.T) {
	var seen events
	g := register(t, registrar(t, clienttest.Shared(t), discovery.WithEvents(seen.add)), orders(t, "a"))
	g.Supervise(nil, 10*time.Millisecond)
	seen.await(t, discovery.Withdrawn, 1)
}

// With a negative interval each check fails. No other interval is used instead.
func TestCheckOfANegativeTime(t *testing.T) {
	var seen events
	g := register(t, registrar(t, clienttest.Shared(t), discovery.WithEvents(seen.add)), orders(t, "a"))
	g.Supervise(func(context.Context) error { return nil }, -time.Second)
	seen.await(t, discovery.Withdrawn, 1)
}
