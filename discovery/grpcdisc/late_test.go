package grpcdisc_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/stats"

	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// A hedge that runs only after its call was answered leaves the reply alone, since that belongs to
// the caller then. The race detector would report a write.
func TestHedgeAfterTheAnswer(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	one, two := serve(t), serve(t)
	register(t, r, "one", one)
	register(t, r, "two", two)
	cc := connectWith(
		t,
		directory(t, c),
		lb(grpcdisc.RoundRobin, ""),
		new(sightings),
		grpcdisc.WithIdempotent(check),
		grpcdisc.WithHedging(time.Nanosecond),
	)
	awaitSpread(t, cc, one, two)
	for range 2000 {
		var reply healthpb.HealthCheckResponse
		err := cc.Invoke(within(t), check, new(healthpb.HealthCheckRequest), &reply, grpc.WaitForReady(true))
		if err != nil || reply.Status != healthpb.HealthCheckResponse_SERVING {
			t.Fatalf("%v, %v", &reply, err)
		}
		reply.Reset()
	}
}

// A losing attempt encodes the request after its call has returned, when the caller has already
// changed the request. The race detector would report a read of the caller's request.
func TestRequestIsTheCallersAgain(t *testing.T) {
	for name, option := range map[string]grpcdisc.InterceptorOption{
		"hedge": grpcdisc.WithHedging(time.Millisecond), "limit": grpcdisc.WithAttemptTimeout(50 * time.Millisecond),
	} {
		t.Run(name, func(t *testing.T) {
			c := clienttest.Shared(t)
			r := registrar(t, c)
			one, two := serve(t), serve(t)
			register(t, r, "one", one)
			register(t, r, "two", two)
			slow := &credentials{reached: make(chan struct{}), open: make(chan struct{})}
			ends := make(ends, 10)
			opened := sync.OnceFunc(func() { close(slow.open) })
			defer opened()
			cc, err := grpc.NewClient(
				"etcd:///"+t.Name(),
				grpc.WithResolvers(grpcdisc.NewBuilder(directory(t, c))),
				grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithPerRPCCredentials(slow),
				grpc.WithStatsHandler(ends),
				grpc.WithDefaultServiceConfig(lb(grpcdisc.RoundRobin, "")),
				grpc.WithUnaryInterceptor(grpcdisc.NewInterceptor(grpcdisc.WithIdempotent(check), option)),
			)
			if err != nil {
				t.Fatal(err)
			}
			defer cc.Close()
			awaitSpread(t, cc, one, two)
			slow.next.Store(true)
			var reply healthpb.HealthCheckResponse
			request := new(healthpb.HealthCheckRequest)
			ctx := context.WithValue(within(t), callerKey{}, 0)
			if err := cc.Invoke(ctx, check, request, &reply, grpc.WaitForReady(true)); err != nil {
				t.Fatal(err)
			}
			clienttest.Receive(t, "one attempt's end", ends)
			<-slow.reached
			opened() // before the change: closing the channel would put that before the encoding
			request.Service = "another"
			clienttest.Receive(t, "the other attempt's end", ends)
		})
	}
}

// credentials hold up one call with a callerKey before it is sent, even if its context ends. A
// hedge of an earlier call may come just then.
type credentials struct {
	next          atomic.Bool
	reached, open chan struct{}
}

func (c *credentials) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	if ctx.Value(callerKey{}) != nil && c.next.Swap(false) {
		close(c.reached)
		<-c.open
	}
	return nil, nil
}

func (c *credentials) RequireTransportSecurity() bool { return false }

// ends gets an element at the end of each attempt of a call with a callerKey.
type ends chan struct{}

func (e ends) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (e ends) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (e ends) HandleConn(context.Context, stats.ConnStats)                       {}
func (e ends) HandleRPC(ctx context.Context, what stats.RPCStats) {
	if _, is := what.(*stats.End); is && ctx.Value(callerKey{}) != nil {
		e <- struct{}{}
	}
}
