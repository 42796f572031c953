package grpcdisc_test

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// A process is frozen, and the calls have no deadline. Callers make one call after the other. Of
// each caller at most one call comes to the frozen process, and it is answered in the end.
func TestFrozenProcessWithoutDeadline(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	var servers []*child
	for i := range 3 {
		servers = append(servers, startProcess(t))
		register(t, r, fmt.Sprint(i), &servers[i].server)
	}
	var frozen atomic.Bool
	seen := &sightings{to: servers[1].addr, frozen: &frozen}
	cc := connectWith(t, directory(t, c), lb(grpcdisc.RoundRobin, `"ejection":{"base":"1h"}`), seen)
	awaitSpread(t, cc, &servers[0].server, &servers[1].server, &servers[2].server)
	servers[1].Signal(t, syscall.SIGSTOP)
	frozen.Store(true)
	ctx := context.WithValue(within(t), callerKey{}, 0)
	late := make(chan error, 100)
	waiting := 0
	for range cap(late) {
		answer := make(chan error, 1)
		go func() { _, err := call(ctx, cc); answer <- err }()
		select {
		case err := <-answer:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(5 * time.Second): // the call goes on
			waiting++
			go func() { late <- <-answer }()
		}
	}
	if n := seen.by[0].Load(); n != 1 || waiting != 1 {
		t.Errorf("%d calls of the frozen one, %d slow ones", n, waiting)
	}
	servers[1].Signal(t, syscall.SIGCONT)
	for range waiting {
		if err := clienttest.Receive(t, "the answer", late); err != nil {
			t.Error(err)
		}
	}
	awaitSpread(t, cc, &servers[0].server, &servers[1].server, &servers[2].server)
}

// A quiet stream keeps no calls from its instance, though most streams of its method end soon.
func TestQuietStreamKeepsNoCallsAway(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	servers := []*server{serve(t), serve(t), serve(t)}
	for i, s := range servers {
		s.brief.Store(true)
		register(t, r, fmt.Sprint(i), s)
	}
	cc := connect(t, directory(t, c), lb(grpcdisc.RoundRobin, `"ejection":{"base":"1h"}`))
	awaitSpread(t, cc, servers...)
	ctx := within(t)
	watch := func() healthpb.Health_WatchClient {
		stream, err := healthpb.NewHealthClient(cc).Watch(ctx, new(healthpb.HealthCheckRequest))
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	for range 20 {
		if _, err := watch().Recv(); err != io.EOF {
			t.Fatal(err)
		}
	}
	for _, s := range servers {
		s.brief.Store(false)
	}
	watch()
	<-time.After(1500 * time.Millisecond) // the stream is quiet for so long, and nothing else is called
	if got := spread(t, cc, 30); len(got) != len(servers) {
		t.Errorf("calls went to %v", got)
	}
}
