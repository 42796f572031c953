package balancer

import (
	"context"
	"io"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// A member that is alive, but does not finish what it was asked, gets no more of it before
// it is known whether it can.
func TestLifeIsNotEnough(t *testing.T) {
	b := newBench(t, 2)
	b.ready()
	m := b.m[0]
	m.begin(b.clock, true)
	fx := b.pass(SuspectAfter + watchEvery)
	b.want(m, Suspect)
	m.BytesArrived()
	fx = b.answer(fx.probes[0], nil, true)
	b.want(m, Suspect)
	if len(fx.probes) != 1 || fx.probes[0].kind != consensusProbe {
		t.Fatalf("probes: %+v", fx.probes)
	}
	b.answer(fx.probes[0], nil, true)
	b.want(m, Healthy)
}

// In an election all living members are stalled for a while. The dead one goes meanwhile,
// and what was asked before the election counts when it is answered after it.
func TestElection(t *testing.T) {
	b := newBench(t, 3)
	b.ready()
	dead := b.m[0]
	for _, m := range b.m {
		m.begin(b.clock, true)
	}
	fx := b.pass(SuspectAfter + watchEvery)
	var atDead probeOrder
	for _, p := range fx.probes {
		if p.m == dead {
			atDead = p
			continue
		}
		p.m.BytesArrived()
		for _, c := range b.answer(p, nil, true).probes {
			b.answer(c, context.DeadlineExceeded, false)
		}
		b.want(p.m, Stalled)
	}
	if v, _ := b.makeView(); len(v.usable) != 1 {
		t.Fatalf("%d usable", len(v.usable))
	}
	b.clock += int64(ProbeTimeout)
	if fx := b.answer(atDead, context.DeadlineExceeded, false); len(fx.closing) != 1 {
		t.Error("the dead member's connection was kept")
	}
	b.want(dead, Ejected)
	for _, m := range b.m[1:] {
		b.clock += int64(watchEvery)
		m.end(b.clock, true, Done, false)
	}
	b.pass(watchSlow)
	for _, m := range b.m[1:] {
		b.want(m, Healthy)
	}
}

func TestStalledMember(t *testing.T) {
	b := newBench(t, 3)
	b.ready()
	m := b.m[0]
	st := &Stream{m: m}
	m.streams[st] = struct{}{}
	m.begin(b.clock, true)
	// It answers health checks, but not this call.
	var probe *probeOrder
	for range 40 {
		m.BytesArrived()
		for _, p := range b.pass(watchEvery).probes {
			if p.kind == consensusProbe {
				probe = &p
			}
		}
	}
	if probe == nil {
		t.Fatal("nobody asked whether it can finish calls")
	}
	b.want(m, Suspect)
	fx := b.answer(*probe, context.DeadlineExceeded, false)
	b.want(m, Stalled)
	if len(fx.closing) != 0 || len(fx.moves) != 1 {
		t.Fatalf("closed %d connections and moved %d streams", len(fx.closing), len(fx.moves))
	}
	if v, _ := b.makeView(); len(v.usable) != 2 {
		t.Fatal("the stalled member gets calls")
	}
	fx = b.pass(probeBackoffMax)
	if len(fx.probes) != 1 || fx.probes[0].kind != consensusProbe {
		t.Fatalf("probes: %+v", fx.probes)
	}
	for _, err := range []error{rpctypes.ErrGRPCNoLeader, rpctypes.ErrGRPCDeadlineExceeded} {
		b.answer(fx.probes[0], err, true)
		b.want(m, Stalled)
		fx = b.pass(2 * probeBackoffMax)
	}
	b.do(func(now int64, fx *effects) { b.connLost(m, io.EOF, now, fx) })
	fx = b.do(func(now int64, fx *effects) { b.connReady(m, now, fx) })
	b.want(m, Stalled) // a fresh connection proves nothing about the cluster behind it
	if len(fx.probes) == 0 {
		fx = b.pass(2 * probeBackoffMax)
	}
	b.answer(fx.probes[0], rpctypes.ErrGRPCPermissionDenied, true)
	b.want(m, Healthy)
}

func TestErrorsStall(t *testing.T) {
	for err, stalls := range map[error]bool{
		rpctypes.ErrGRPCNoLeader: true, rpctypes.ErrGRPCTimeout: true, rpctypes.ErrGRPCNotSupportedForLearner: true,
		rpctypes.ErrGRPCEmptyKey: false, rpctypes.ErrGRPCCompacted: false, context.Canceled: false,
		rpctypes.ErrGRPCRequestTooManyRequests: false,
	} {
		b := newBench(t, 2)
		b.ready()
		b.m[0].Failed(err, &Pick{})
		if got := b.m[0].state == Stalled; got != stalls {
			t.Errorf("%v stalls its member: %v", err, got)
		}
	}
}

// A server takes seconds to give up on a request; meanwhile it may have recovered.
func TestOldNewsDoesNotStall(t *testing.T) {
	b := newBench(t, 2)
	b.ready()
	m := b.m[0]
	old, fresh := &Pick{Consensus: true}, &Pick{Consensus: true}
	old.took(m)
	b.clock += int64(time.Second)
	fresh.took(m)
	b.clock += int64(time.Millisecond)
	fresh.Finish(Done)
	old.Finish(Answered)
	m.Failed(rpctypes.ErrGRPCTimeout, old)
	b.want(m, Healthy)
	late := &Pick{Consensus: true}
	late.took(m)
	b.clock += int64(7 * time.Second)
	late.Finish(Answered)
	m.Failed(rpctypes.ErrGRPCTimeout, late)
	b.want(m, Stalled)
}

func TestIfAllAreStalledNoneIs(t *testing.T) {
	b := newBench(t, 3)
	b.ready()
	stay := &Stream{m: b.m[2]}
	b.m[2].streams[stay] = struct{}{}
	for i, m := range b.m {
		fx := b.do(func(now int64, fx *effects) { b.stall(m, rpctypes.ErrNoLeader, now, fx) })
		if i == 2 && len(fx.moves) != 0 {
			t.Fatal("a stream was moved although there is no better place")
		}
	}
	if v, _ := b.makeView(); len(v.usable) != 3 {
		t.Fatalf("%d members are usable", len(v.usable))
	}
	b.clock += int64(probeBackoffMax)
	fx := b.pass(watchSlow)
	moves := 0
	for _, p := range fx.probes {
		if p.m == b.m[0] {
			moves = len(b.answer(p, nil, true).moves)
		}
	}
	b.want(b.m[0], Healthy)
	if moves != 1 {
		t.Errorf("%d streams were moved once there was a better place", moves)
	}
}
