package grpcdisc_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery/grpcdisc"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// A process stands still, and calls of it have all the time in the world: one of a caller who makes
// one after the other comes to it, the next ones not, and that one has its answer in the end.
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
		case <-time.After(5 * time.Second): // it may wait for as long as it likes
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
