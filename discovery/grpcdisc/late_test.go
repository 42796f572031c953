package grpcdisc_test

import (
	"testing"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// A hedge that gets to run when its call has been answered leaves the reply alone, which is the
// caller's then. The race detector sees it.
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
