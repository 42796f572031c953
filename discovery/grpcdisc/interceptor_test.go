package grpcdisc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

const check = "/grpc.health.v1.Health/Check"

// sightings notes whose attempts reach an instance from the moment that it is frozen.
type sightings struct {
	to     string
	frozen *atomic.Bool
	by     [8]atomic.Int32
}

type callerKey struct{}

func (s *sightings) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (s *sightings) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (s *sightings) HandleConn(context.Context, stats.ConnStats)                       {}
func (s *sightings) HandleRPC(ctx context.Context, what stats.RPCStats) {
	caller, ok := ctx.Value(callerKey{}).(int)
	if h, is := what.(*stats.OutHeader); ok && is && h.RemoteAddr.String() == s.to && s.frozen.Load() {
		s.by[caller].Add(1)
	}
}

func connectWith(
	t testing.TB,
	d *discovery.Directory,
	config string,
	s *sightings,
	opts ...grpcdisc.InterceptorOption,
) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient(
		"etcd:///"+t.Name(),
		grpc.WithResolvers(grpcdisc.NewBuilder(d)),
		grpc.WithTransportCredentials(
			insecure.NewCredentials(),
		),
		grpc.WithDefaultServiceConfig(config),
		grpc.WithStatsHandler(s),
		grpc.WithUnaryInterceptor(grpcdisc.NewInterceptor(opts...)),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// One of three processes freezes under load. Each caller meets it at most once. With repeated
// attempts no call fails; without them only calls fail that waited until their deadline.
func TestFrozenProcessMeetsEachCallerOnce(t *testing.T) {
	// More than a running process needs on a busy machine: otherwise that would be ejected instead
	// of the frozen one. An ejected process stays ejected, however long later calls take.
	const limit, ejection = 5 * time.Second, `"ejection":{"base":"1h"}`
	for _, name := range []string{grpcdisc.RoundRobin, grpcdisc.P2C, grpcdisc.Weighted} {
		for _, with := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s attempts=%v", name, with), func(t *testing.T) {
				c := clienttest.Shared(t)
				r := registrar(t, c)
				var servers []*child
				for i := range 3 {
					servers = append(servers, startProcess(t))
					register(t, r, fmt.Sprint(i), &servers[i].server)
				}
				var cc *grpc.ClientConn
				deadline, seen := clienttest.Long, new(sightings)
				if with {
					cc = connectWith(
						t,
						directory(t, c),
						lb(name, ejection),
						seen,
						grpcdisc.WithIdempotent(check),
						grpcdisc.WithAttemptTimeout(limit),
					)
				} else {
					cc = connectWith(t, directory(t, c), lb(name, ejection), seen)
					deadline = limit
				}
				awaitSpread(t, cc, &servers[0].server, &servers[1].server, &servers[2].server)
				const callers = len(seen.by)
				var frozen atomic.Bool
				var afterwards [callers]int
				seen.to, seen.frozen = servers[1].addr, &frozen
				ctx, cancel := context.WithCancel(within(t))
				defer cancel()
				var load sync.WaitGroup
				var total atomic.Int64
				for i := range callers {
					load.Go(func() {
						for afterwards[i] < 100 && ctx.Err() == nil {
							cctx, done := context.WithTimeout(context.Background(), deadline)
							was := frozen.Load()
							_, err := call(context.WithValue(cctx, callerKey{}, i), cc)
							done()
							total.Add(1)
							if was {
								afterwards[i]++
							}
							if err != nil && (with || status.Code(err) != codes.DeadlineExceeded) {
								t.Error(err)
							}
						}
					})
				}
				clienttest.Await(t, "the load runs", func() bool { return total.Load() > 200 })
				servers[1].Signal(t, syscall.SIGSTOP)
				frozen.Store(true)
				load.Wait()
				for i := range callers {
					if n := seen.by[i].Load(); n > 1 {
						t.Errorf("caller %d: %d calls of the frozen one", i, n)
					}
				}
				servers[1].Signal(t, syscall.SIGCONT)
			})
		}
	}
}

// A short deadline discredits no instance, whatever the policy.
func TestShortDeadlineBlamesNoInstance(t *testing.T) {
	for _, name := range []string{grpcdisc.RoundRobin, grpcdisc.P2C} {
		t.Run(name, func(t *testing.T) {
			c := clienttest.Shared(t)
			r := registrar(t, c)
			const takes = 200 * time.Millisecond
			servers := []*server{serve(t), serve(t)}
			for i, s := range servers {
				s.takes.Store(int64(takes))
				register(t, r, fmt.Sprint(i), s)
			}
			cc := connect(t, directory(t, c), lb(name, `"ejection":{"failures":2,"base":"1h"}`))
			both := func() bool {
				got := make(map[string]int)
				for range 4 {
					addr, err := call(within(t), cc, grpc.WaitForReady(true))
					if err != nil {
						t.Fatal(err)
					}
					got[addr]++
				}
				return len(got) == 2
			}
			clienttest.Await(t, "both are called", both)
			for range 30 {
				ctx, cancel := context.WithTimeout(context.Background(), takes/10)
				if _, err := call(ctx, cc); status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("%v", err)
				}
				cancel()
			}
			clienttest.Await(t, "both are called again", both)
		})
	}
}

// A call that may be repeated is repeated on another instance; others are not.
func TestRepeatableCallGoesToAnotherInstance(t *testing.T) {
	c := clienttest.Shared(t)
	r, d := registrar(t, c), directory(t, c)
	good, bad := serve(t), serve(t)
	bad.fails.Store(true)
	register(t, r, "good", good)
	register(t, r, "bad", bad)
	config := lb(grpcdisc.RoundRobin, `"noEjection":true`)
	for _, c := range []struct {
		what     string
		opts     []grpcdisc.InterceptorOption
		repeated bool
	}{
		{"named", []grpcdisc.InterceptorOption{grpcdisc.WithIdempotent(check)}, true},
		{"its service is named", []grpcdisc.InterceptorOption{
			grpcdisc.WithIdempotent("/grpc.health.v1.Health/"),
		}, true},
		{"with limits", []grpcdisc.InterceptorOption{
			grpcdisc.WithIdempotent(check), grpcdisc.WithHedging(time.Minute), grpcdisc.WithAttemptTimeout(time.Minute),
		}, true},
		{"another is named", []grpcdisc.InterceptorOption{
			grpcdisc.WithIdempotent("/grpc.health.v1.Health/Other"),
		}, false},
		{"one attempt", []grpcdisc.InterceptorOption{grpcdisc.WithIdempotent(check), grpcdisc.WithAttempts(1)}, false},
	} {
		cc := connectWith(t, d, config, nil, c.opts...)
		clienttest.Await(t, "both are called", func() bool {
			one, two := good.calls.Load(), bad.calls.Load()
			_, _ = call(within(t), cc)
			_, _ = call(within(t), cc)
			return good.calls.Load() > one && bad.calls.Load() > two
		})
		failed := 0
		for range 20 {
			var header, trailer metadata.MD
			addr, err := call(within(t), cc, grpc.Header(&header), grpc.Trailer(&trailer))
			switch {
			case status.Code(err) == codes.Unavailable:
				failed++
			case err != nil || addr != good.addr || len(header["server"]) != 1 || header["server"][0] != good.addr:
				t.Errorf("%s: %s, header %v, %v", c.what, addr, header, err)
			}
		}
		if c.repeated && failed > 0 || !c.repeated && failed != 10 {
			t.Errorf("%s: %d of 20 failed", c.what, failed)
		}
		cc.Close()
	}
	good.fails.Store(true)
	cc := connectWith(t, d, config, nil, grpcdisc.WithIdempotent(check))
	clienttest.Await(t, "the error says what was tried", func() bool {
		_, err := call(within(t), cc)
		text := err.Error()
		return status.Code(err) == codes.Unavailable && strings.Contains(text, good.addr) &&
			strings.Contains(text, bad.addr)
	})
	nonsense := connectWith(t, d, config, nil, grpcdisc.WithIdempotent("Check"))
	if _, err := call(within(t), nonsense); err == nil || !strings.Contains(err.Error(), `"Check" is not`) {
		t.Errorf("%v", err)
	}
}

// A call does not wait for a slow instance: a second one gets it too, and the answer is complete.
func TestHedgedCallDoesNotWaitForASlowInstance(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	fast, slow := serve(t), serve(t)
	register(t, r, "fast", fast)
	register(t, r, "slow", slow)
	cc := connectWith(
		t,
		directory(t, c),
		lb(grpcdisc.RoundRobin, `"noEjection":true`),
		nil,
		grpcdisc.WithIdempotent(check),
		grpcdisc.WithHedging(50*time.Millisecond),
	)
	awaitSpread(t, cc, fast, slow)
	const takes = 4 * time.Second
	slow.takes.Store(int64(takes))
	before := slow.calls.Load()
	for range 20 {
		begin := time.Now()
		var header metadata.MD
		resp, err := healthpb.NewHealthClient(cc).Check(within(t), &healthpb.HealthCheckRequest{}, grpc.Header(&header))
		if err != nil || resp.Status != healthpb.HealthCheckResponse_SERVING || len(header["server"]) != 1 ||
			header["server"][0] != fast.addr {
			t.Errorf("%v, %v, %v", resp, header, err)
		}
		if time.Since(begin) >= takes {
			t.Error("the call waited for the slow instance")
		}
	}
	if n := slow.calls.Load() - before; n == 0 || n > 20 {
		t.Errorf("%d calls of the slow one", n)
	}
}

// The balancers of a connection call the hooks of package pick.
func TestPickingHooksAreCalled(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	good, bad := serve(t), serve(t)
	register(t, r, "good", good)
	register(t, r, "bad", bad)
	ejected := make(chan pick.EjectedInfo, 10)
	b := grpcdisc.NewBuilder(directory(t, c),
		grpcdisc.WithPicking(pick.WithHooks(pick.Hooks{Ejected: func(i pick.EjectedInfo) { ejected <- i }})))
	cc := connectBy(t, b, lb(grpcdisc.RoundRobin, ""))
	awaitSpread(t, cc, good, bad)
	bad.fails.Store(true)
	clienttest.Await(t, "it is ejected", func() bool { _, _ = call(within(t), cc); return len(ejected) > 0 })
	if i := <-ejected; i.Instance.ID != "bad" || i.Silent || i.For != pick.DefaultBase {
		t.Errorf("%+v", i)
	}
}
