package grpcdisc_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// attempts are the attempts that a hook got, as text.
type attempts struct {
	mu     sync.Mutex
	counts map[string]int
}

func (a *attempts) add(i pick.AttemptInfo) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.counts == nil {
		a.counts = make(map[string]int)
	}
	a.counts[fmt.Sprint(i.Instance.ID, " ", i.Number, " ", i.Hedge, " ", i.Outcome, " ", status.Code(i.Err))]++
	if i.Took <= 0 {
		a.counts["took nothing"]++
	}
}

func (a *attempts) await(t testing.TB, want string) {
	t.Helper()
	clienttest.Await(t, want, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.counts[want] > 0 && a.counts["took nothing"] == 0
	})
}

// Hooks get each attempt: the first, the repeated ones and the hedges. The builder knows the state
// of its connections' instances, and the error of each call names the instances that were tried.
func TestAttemptsAreReported(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	good, bad := serve(t), serve(t)
	register(t, r, "good", good)
	register(t, r, "bad", bad)
	var reported attempts
	b := grpcdisc.NewBuilder(directory(t, c), grpcdisc.WithPicking(pick.WithHooks(pick.Hooks{Attempt: reported.add})))
	connect := func(opts ...grpcdisc.InterceptorOption) *grpc.ClientConn {
		return connectBy(t, b, lb(grpcdisc.RoundRobin, ""), grpc.WithUnaryInterceptor(grpcdisc.NewInterceptor(opts...)))
	}
	if list := b.Statuses(t.Name()); list != nil {
		t.Errorf("before there is a connection: %+v", list)
	}
	plain := connect()
	awaitSpread(t, plain, good, bad)
	reported.await(t, "good 0 false success OK")

	hedging := connect(grpcdisc.WithIdempotent(check), grpcdisc.WithHedging(20*time.Millisecond))
	awaitSpread(t, hedging, good, bad)
	bad.takes.Store(int64(time.Second))
	clienttest.Await(t, "a hedge", func() bool {
		_, err := call(within(t), hedging)
		reported.mu.Lock()
		defer reported.mu.Unlock()
		return err == nil && reported.counts["good 1 true success OK"] > 0
	})
	bad.takes.Store(0)
	bad.fails.Store(true)
	repeating := connect(grpcdisc.WithIdempotent(check))
	awaitSpread(t, repeating, good)
	reported.await(t, "bad 0 false failure Unavailable")
	reported.await(t, "good 1 false success OK")

	clienttest.Await(t, "the error of a call that is not repeated names the instance", func() bool {
		_, err := call(within(t), plain)
		return status.Code(err) == codes.Unavailable &&
			strings.Contains(err.Error(), "as the test wants (tried: bad at "+bad.addr)
	})
	clienttest.Await(t, "it is ejected", func() bool {
		if _, err := call(within(t), plain); err != nil && status.Code(err) != codes.Unavailable {
			t.Fatal(err)
		}
		list := b.Statuses(t.Name())
		if len(list) != 2 {
			t.Fatalf("%+v", list)
		}
		for _, st := range list {
			if st.Ejected != !st.Until.IsZero() ||
				st.Ejected && (st.Instance.ID != "bad" || time.Until(st.Until) > pick.DefaultBase) {
				t.Fatalf("%+v", st)
			}
			if st.Ejected {
				return true
			}
		}
		return false
	})
	for _, cc := range []*grpc.ClientConn{plain, hedging, repeating} {
		if err := cc.Close(); err != nil {
			t.Error(err)
		}
	}
	if list := b.Statuses(t.Name()); list != nil {
		t.Errorf("when all connections are closed: %+v", list)
	}
}

// Calls wait for a lone instance that restarts.
func TestOneInstanceIsNotLeftOut(t *testing.T) {
	c := clienttest.Shared(t)
	s := serve(t)
	register(t, registrar(t, c), "one", s)
	cc := connectWith(t, directory(t, c), lb(grpcdisc.RoundRobin, ""), nil)
	awaitSpread(t, cc, s)
	s.grpc.Stop()
	clienttest.Await(t, "the connection has gone", func() bool { return cc.GetState() != connectivity.Ready })
	ended := make(chan error, 1)
	go func() {
		_, err := call(within(t), cc, grpc.WaitForReady(true))
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Fatalf("the call did not wait for it: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	again := serveAt(t, s.addr)
	if err := clienttest.Receive(t, "the call", ended); err != nil {
		t.Error(err)
	}
	if again.calls.Load() == 0 {
		t.Error("another instance answered")
	}
}

// One method is slow and ends at its callers' deadline; another is answered. No instance is ejected
// or doubted.
func TestSlowMethodBlamesNobody(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	for _, id := range []string{"a", "b", "c"} {
		s := grpc.NewServer()
		healthpb.RegisterHealthServer(s, slowList{health.NewServer()})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var done sync.WaitGroup
		done.Go(func() { s.Serve(l) })
		t.Cleanup(func() { s.Stop(); done.Wait() })
		register(t, r, id, &server{addr: l.Addr().String()})
	}
	b := grpcdisc.NewBuilder(directory(t, c))
	cc := connectBy(t, b, lb(grpcdisc.RoundRobin, ""))
	clienttest.Await(t, "all are called", func() bool { return len(spread(t, cc, 30)) == 3 })
	for range 4 {
		ctx, cancel := context.WithTimeout(context.Background(), 1200*time.Millisecond)
		_, err := healthpb.NewHealthClient(cc).List(ctx, &healthpb.HealthListRequest{})
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%v", err)
		}
		cancel()
		for _, st := range b.Statuses(t.Name()) {
			if st.Ejected || st.Trial {
				t.Errorf("%+v", st)
			}
		}
	}
}

// slowList answers checks, and lists only after its callers have gone.
type slowList struct{ *health.Server }

func (s slowList) List(ctx context.Context, _ *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
