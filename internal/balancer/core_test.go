package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/internal/endpoint"
	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// bench is a set without gRPC, network or real time.
type bench struct {
	*Set
	t     *testing.T
	clock int64
	m     []*Member
}

type fakeSub struct{ balancer.SubConn }

type fakeConn struct{ net.Conn }

func newBench(t *testing.T, n int) *bench {
	var eps []endpoint.Endpoint
	for i := range n {
		e, err := endpoint.Parse("member" + string(rune('a'+i)) + ":1")
		if err != nil {
			t.Fatal(err)
		}
		eps = append(eps, e)
	}
	b := &bench{t: t, clock: int64(time.Hour)}
	b.Set = newSet(Config{}, eps)
	b.Set.now = func() int64 { return b.clock }
	b.m = b.Set.members
	for _, m := range b.m {
		m.firstTry, m.sc, m.conn = b.clock, &fakeSub{}, &fakeConn{}
	}
	return b
}

// do makes one transition and returns its effects.
func (b *bench) do(f func(now int64, fx *effects)) *effects {
	fx := &effects{}
	f(b.clock, fx)
	return fx
}

func (b *bench) ready() {
	for _, m := range b.m {
		b.do(func(now int64, fx *effects) { b.connReady(m, now, fx) })
	}
}

// pass lets time go by as the monitor sees it, looking as often as it wants to, and
// returns the effects of all looks. Probes stay unanswered.
func (b *bench) pass(d time.Duration) *effects {
	all := &effects{}
	end := b.clock + int64(d)
	for {
		fx := &effects{}
		next := b.tick(b.clock, fx)
		all.probes = append(all.probes, fx.probes...)
		all.closing = append(all.closing, fx.closing...)
		all.connect = append(all.connect, fx.connect...)
		all.moves = append(all.moves, fx.moves...)
		if next == 0 || b.clock+int64(next) > end {
			b.clock = end
			return all
		}
		b.clock += int64(next)
	}
}

func (b *bench) want(m *Member, s State) {
	b.t.Helper()
	if m.state != s {
		b.t.Fatalf("%s is %v (%v), want %v", m.Name(), m.state, m.err, s)
	}
}

func (b *bench) answer(o probeOrder, err error, answered bool) *effects {
	return b.do(func(now int64, fx *effects) { b.probed(o, err, answered, o.timeout, now, fx) })
}

func TestSilentMemberIsEjectedAndComesBack(t *testing.T) {
	b := newBench(t, 3)
	b.ready()
	m := b.m[0]
	moved := 0
	m.streams[&Stream{m: m}] = struct{}{}
	m.begin(b.clock, true)
	fx := b.pass(SuspectAfter + watchEvery)
	b.want(m, Suspect)
	if len(fx.probes) != 1 || fx.probes[0].kind != aliveProbe || fx.probes[0].m != m {
		t.Fatalf("probes: %+v", fx.probes)
	}
	if v, _ := b.makeView(); len(v.usable) != 2 {
		t.Fatalf("%d members are usable beside the suspect", len(v.usable))
	}
	b.clock += int64(ProbeTimeout)
	fx = b.answer(fx.probes[0], context.DeadlineExceeded, false)
	b.want(m, Ejected)
	moved += len(fx.moves)
	if len(fx.closing) != 1 || moved != 1 {
		t.Fatalf("closed %d connections and moved %d streams", len(fx.closing), moved)
	}
	if !strings.Contains(m.why(), "no answer to a health check") {
		t.Errorf("why: %s", m.why())
	}
	b.do(func(now int64, fx *effects) { b.connLost(m, io.EOF, now, fx) })
	b.want(m, Ejected)
	if fx = b.pass(probeBackoffMax); len(fx.connect) != 1 {
		t.Fatalf("dialled %d times", len(fx.connect))
	}
	fx = b.do(func(now int64, fx *effects) { b.connReady(m, now, fx) })
	b.want(m, Ejected)
	if v, _ := b.makeView(); len(v.usable) != 2 {
		t.Fatal("used before it has proved itself")
	}
	if len(fx.probes) != 1 {
		t.Fatalf("probes after the fresh connection: %+v", fx.probes)
	}
	b.answer(fx.probes[0], nil, true)
	b.want(m, Healthy)
}

func TestArrivingBytesAreLife(t *testing.T) {
	b := newBench(t, 2)
	b.ready()
	m := b.m[0]
	m.begin(b.clock, false)
	fx := b.pass(SuspectAfter + watchEvery)
	b.want(m, Suspect)
	m.BytesArrived()
	b.clock += int64(watchEvery)
	b.pass(watchEvery)
	b.answer(fx.probes[0], status.FromContextError(context.DeadlineExceeded).Err(), false)
	b.want(m, Healthy)
}

func TestAnyAnswerIsLife(t *testing.T) {
	for _, err := range []error{nil, rpctypes.ErrGRPCPermissionDenied, status.Error(12, "unimplemented"), rpctypes.ErrGRPCNotSupportedForLearner} {
		if !fromServer(err) {
			t.Errorf("%v does not count as an answer", err)
		}
	}
	for _, err := range []error{status.FromContextError(context.DeadlineExceeded).Err(), status.Error(unavailable, "connection reset")} {
		if fromServer(err) {
			t.Errorf("%v counts as an answer", err)
		}
	}
}

func TestLastUsableMemberStays(t *testing.T) {
	b := newBench(t, 2)
	b.ready()
	b.do(func(now int64, fx *effects) { b.connLost(b.m[1], errors.New("connection refused"), now, fx) })
	m := b.m[0]
	m.begin(b.clock, false)
	silent := time.Duration(0)
	for silent < replaceAfter {
		fx := b.pass(ProbeTimeout)
		silent += ProbeTimeout
		for _, p := range fx.probes {
			if fx := b.answer(p, context.DeadlineExceeded, false); len(fx.closing) > 0 && silent < replaceAfter {
				t.Fatalf("its connection was closed after %v", silent)
			}
		}
		b.want(m, Suspect)
		if v, _ := b.makeView(); len(v.usable) != 1 {
			t.Fatal("nothing is usable")
		}
	}
	closing := 0
	for range 5 {
		for _, p := range b.pass(probeBackoffMax + ProbeTimeout).probes {
			closing += len(b.answer(p, context.DeadlineExceeded, false).closing)
		}
	}
	if closing == 0 {
		t.Error("a connection that was silent for long was never replaced")
	}
}

func TestQuietStreamIsProbed(t *testing.T) {
	b := newBench(t, 2)
	b.ready()
	m := b.m[0]
	m.streams[&Stream{m: m}] = struct{}{}
	if fx := b.pass(StreamProbeAfter - 10*time.Millisecond); len(fx.probes) != 0 {
		t.Fatal("probed too early")
	}
	fx := b.pass(200 * time.Millisecond)
	if len(fx.probes) != 1 {
		t.Fatalf("%d probes", len(fx.probes))
	}
	b.want(m, Healthy)
	b.clock += int64(ProbeTimeout)
	b.answer(fx.probes[0], context.DeadlineExceeded, false)
	b.want(m, Ejected)
}

// A member that nobody calls is found dead by a probe, not by a call that is lost.
func TestUncalledMemberIsProbedWhileOthersAreCalled(t *testing.T) {
	b := newBench(t, 2)
	b.ready()
	dead, busy := b.m[0], b.m[1]
	var probe *probeOrder
	for range 40 {
		busy.begin(b.clock, true)
		busy.BytesArrived()
		busy.end(b.clock, true, Done, true)
		for _, p := range b.pass(watchEvery).probes {
			if p.m == dead {
				probe = &p
			}
		}
	}
	if probe == nil || probe.kind != aliveProbe {
		t.Fatalf("probe: %+v", probe)
	}
	b.answer(*probe, context.DeadlineExceeded, false)
	b.want(dead, Ejected)
}

func TestIdleClientDoesNothing(t *testing.T) {
	b := newBench(t, 3)
	b.ready()
	if next := b.tick(b.clock, &effects{}); next != 0 {
		t.Errorf("an idle client wants to look again in %v", next)
	}
	if fx := b.pass(time.Hour); len(fx.probes) != 0 {
		t.Errorf("an idle client sent %d probes", len(fx.probes))
	}
}

// This process was paused: that the others were silent meanwhile proves nothing.
func TestOwnPauseStartsTheVerdictAgain(t *testing.T) {
	b := newBench(t, 2)
	b.ready()
	m := b.m[0]
	m.begin(b.clock, true)
	b.pass(watchEvery)
	b.clock += int64(10 * time.Second)
	fx := &effects{}
	b.tick(b.clock, fx)
	b.want(m, Healthy)
	if len(fx.probes) != 0 {
		t.Fatal("judged by a silence that was our own")
	}
	b.pass(SuspectAfter + 2*watchEvery)
	b.want(m, Suspect)
}

func TestFirstConnectionIsWaitedFor(t *testing.T) {
	b := newBench(t, 2)
	v, state := b.makeView()
	if v.err != nil || state != connectivity.Connecting {
		t.Fatalf("at once: %v, %v", v.err, state)
	}
	b.do(func(now int64, fx *effects) { b.connLost(b.m[0], errors.New("connection refused"), now, fx) })
	if v, _ = b.makeView(); v.err != nil {
		t.Fatalf("the other one is still trying: %v", v.err)
	}
	b.clock += int64(FirstConnect)
	v, _ = b.makeView()
	if v.err == nil || v.wrong {
		t.Fatalf("after the time for first connections: %v", v.err)
	}
	for _, want := range []string{"membera:1: connection refused", "memberb:1: no answer"} {
		if !strings.Contains(v.err.Error(), want) {
			t.Errorf("%q is missing in %q", want, v.err)
		}
	}
	b.m[0].ConnFailed(errors.New("certificate"), true)
	b.m[1].ConnFailed(errors.New("not etcd"), true)
	if v, _ = b.makeView(); !v.wrong {
		t.Error("no endpoint can work, and that is not noticed")
	}
	b.m[1].ConnFailed(errors.New("connection refused"), false)
	if v, _ = b.makeView(); v.wrong {
		t.Error("one endpoint may work again, and that is not noticed")
	}
}

// A server that takes connections and drops them is dialled less and less often.
func TestFlappingConnection(t *testing.T) {
	b := newBench(t, 1)
	m := b.m[0]
	var waits []time.Duration
	for range 4 {
		b.do(func(now int64, fx *effects) { b.connReady(m, now, fx) })
		b.clock += int64(10 * time.Millisecond)
		b.do(func(now int64, fx *effects) { b.connLost(m, io.EOF, now, fx) })
		waits = append(waits, time.Duration(m.connectAt-b.clock))
		if fx := b.pass(probeBackoffMax + watchSlow); len(fx.connect) != 1 {
			t.Fatalf("dialled %d times", len(fx.connect))
		}
	}
	if waits[0] <= 0 || waits[3] <= waits[0] {
		t.Errorf("waits: %v", waits)
	}
	b.do(func(now int64, fx *effects) { b.connReady(m, now, fx) })
	b.clock += int64(time.Minute)
	b.do(func(now int64, fx *effects) { b.connLost(m, io.EOF, now, fx) })
	if m.connectAt != 0 || m.flaps != 0 {
		t.Error("a connection that had worked for long is not dialled again at once")
	}
}

func TestPicking(t *testing.T) {
	b := newBench(t, 3)
	b.ready()
	v, _ := b.makeView()
	p := &picker{v}
	b.m[0].latency.Store(int64(200 * time.Millisecond))
	b.m[1].latency.Store(int64(time.Millisecond))
	b.m[2].latency.Store(int64(time.Millisecond))
	got := make(map[*Member]int)
	pick := func(want *Pick) *Member {
		ctx := &Context{Context: context.Background()}
		ctx.Pick.Avoid, ctx.Pick.Prefer, ctx.Pick.Pin = want.Avoid, want.Prefer, want.Pin
		r, err := p.Pick(balancer.PickInfo{Ctx: context.WithValue(ctx, new(int), 1)})
		if err != nil || ctx.Pick.Got == nil || r.SubConn != ctx.Pick.Got.sc {
			t.Fatalf("%+v, %v", r, err)
		}
		ctx.Pick.Finish(Done)
		return ctx.Pick.Got
	}
	for range 1000 {
		got[pick(&Pick{})]++
	}
	if got[b.m[0]] != 0 || got[b.m[1]] < 300 || got[b.m[2]] < 300 {
		t.Errorf("slow %d, fast %d and %d of 1000", got[b.m[0]], got[b.m[1]], got[b.m[2]])
	}
	if m := pick(&Pick{Avoid: b.m[1].slot | b.m[2].slot}); m != b.m[0] {
		t.Errorf("picked %s, which was to be avoided", m.Name())
	}
	if m := pick(&Pick{Prefer: b.m[0]}); m != b.m[0] {
		t.Errorf("picked %s, not the preferred one", m.Name())
	}
	if m := pick(&Pick{Pin: b.m[0], Avoid: b.m[0].slot}); m != b.m[0] {
		t.Errorf("picked %s, not the pinned one", m.Name())
	}
	pick(&Pick{Avoid: ^uint64(0)}) // all were tried: any is better than none
	for _, m := range b.m {
		if n := m.calls.n.Load(); n != 0 {
			t.Errorf("%s counts %d calls that have ended", m.Name(), n)
		}
	}
	ctx := &Context{Context: context.Background()}
	ctx.Pick.Pin = b.m[0]
	b.do(func(now int64, fx *effects) { b.connLost(b.m[0], nil, now, fx) })
	if _, err := p.Pick(balancer.PickInfo{Ctx: ctx}); err != balancer.ErrNoSubConnAvailable {
		t.Errorf("a pinned member that is just reconnecting: %v", err)
	}
	b.do(func(now int64, fx *effects) { b.connLost(b.m[0], errors.New("connection refused"), now, fx) })
	// An error without a status lets calls wait that want to.
	if _, err := p.Pick(balancer.PickInfo{Ctx: ctx}); err == nil || etcderr.Code(err) == unavailable || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a pinned member that is away: %v", err)
	}
	b.m[0].wrong = true
	if _, err := p.Pick(balancer.PickInfo{Ctx: ctx}); etcderr.Code(err) != unavailable || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a pinned member that is not what was configured: %v", err)
	}
}

// A member that was slow once is measured again, and used again if it is fast.
func TestSlowMemberIsForgiven(t *testing.T) {
	b := newBench(t, 2)
	b.ready()
	slow, fast := b.m[0], b.m[1]
	for _, tc := range []struct{ probe, want time.Duration }{{time.Millisecond, 2 * time.Millisecond}, {200 * time.Millisecond, 200 * time.Millisecond}} {
		slow.sample(3*time.Second, b.clock)
		slow.latency.Store(int64(3 * time.Second))
		fast.latency.Store(int64(2 * time.Millisecond))
		fast.begin(b.clock, true)
		var probe *probeOrder
		for range 200 {
			fast.BytesArrived()
			fast.consensus.last.Store(b.clock)
			for _, p := range b.pass(watchEvery).probes {
				switch {
				case p.m != slow:
				case p.kind == aliveProbe: // whether it lives is another question
					slow.BytesArrived()
					b.answer(p, nil, true)
				default:
					probe = &p
				}
			}
		}
		fast.end(b.clock, true, Done, false)
		if probe == nil {
			t.Fatal("the slow member was not measured")
		}
		b.do(func(now int64, fx *effects) { b.probed(*probe, nil, true, tc.probe, now, fx) })
		if got := time.Duration(slow.latency.Load()); got != tc.want {
			t.Errorf("after a probe of %v: %v, want %v", tc.probe, got, tc.want)
		}
	}
}

func TestEndpointsChange(t *testing.T) {
	b := newBench(t, 2)
	b.ready()
	a, _ := endpoint.Parse("membera:1")
	c, _ := endpoint.Parse("memberc:1")
	ended := make(chan error, 1)
	b.AddStream(b.m[1], func(err error) { ended <- err })
	b.SetEndpoints([]endpoint.Endpoint{a, c})
	if err := <-ended; etcderr.Code(err) != unavailable || !strings.Contains(err.Error(), "memberb") {
		t.Errorf("a stream on a removed member ended with %v", err)
	}
	l := b.Members()
	if len(l) != 2 || l[0] != b.m[0] || l[0].state != Healthy || l[1].Name() != "memberc:1" {
		t.Errorf("members: %v", b.States())
	}
	if b.Find(a) != b.m[0] || b.Find(endpoint.Endpoint{Network: "tcp", Addr: "x:1"}) != nil {
		t.Error("Find")
	}
}

func ExampleSet() {
	e, err := endpoint.Parse("127.0.0.1:2379")
	if err != nil {
		fmt.Println(err)
	}
	s := New(Config{}, []endpoint.Endpoint{e})
	defer s.Close()
	for _, m := range s.States() {
		fmt.Println(m.Endpoint, m.State)
	}
	// Output: 127.0.0.1:2379 connecting
}

func BenchmarkPick(b *testing.B) {
	t := &testing.T{}
	s := newBench(t, 3)
	s.ready()
	v, _ := s.makeView()
	p := &picker{v}
	ctx := &Context{Context: context.Background()}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Pick(balancer.PickInfo{Ctx: ctx}); err != nil {
			b.Fatal(err)
		}
		ctx.Pick.Finish(Done)
	}
}
