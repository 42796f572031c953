package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/internal/endpoint"
	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/watch/scenario"
)

// bench is a driver whose members a, b, ... are connected.
func bench(t *testing.T, names ...string) (*driver, []*Member) {
	d := newDriver(t)
	d.input(scenario.Command{Name: "members", Words: names})
	return d, d.set.members
}

func TestAnyAnswerIsLife(t *testing.T) {
	for _, err := range []error{
		nil, rpctypes.ErrGRPCPermissionDenied, status.Error(12, "unimplemented"),
		rpctypes.ErrGRPCNotSupportedForLearner,
	} {
		if !fromServer(err) {
			t.Errorf("%v does not count as an answer", err)
		}
	}
	for _, err := range []error{
		status.FromContextError(context.DeadlineExceeded).Err(), status.Error(codes.Unavailable, "connection reset"),
	} {
		if fromServer(err) {
			t.Errorf("%v counts as an answer", err)
		}
	}
}

func TestFirstConnectionIsWaitedFor(t *testing.T) {
	d := newDriver(t)
	d.start(Config{}, parse(t, "a", "b"))
	d.modes["a"], d.modes["b"] = "refused", "frozen"
	d.tick()
	a, b := d.set.members[0], d.set.members[1]
	v, state := d.set.makeView()
	if v.err != nil || state != connectivity.Connecting {
		t.Fatalf("at once: %v, %v", v.err, state)
	}
	d.wait(10 * time.Millisecond)
	if v, _ = d.set.makeView(); v.err != nil {
		t.Fatalf("the other one is still trying: %v", v.err)
	}
	d.wait(FirstConnect)
	v, _ = d.set.makeView()
	if v.err == nil || v.wrong {
		t.Fatalf("after the time for first connections: %v", v.err)
	}
	for _, want := range []string{"a:1: connection refused", "b:1: no answer"} {
		if !strings.Contains(v.err.Error(), want) {
			t.Errorf("%q is missing in %q", want, v.err)
		}
	}
	a.conn.ConnFailed(errors.New("certificate"), true)
	b.conn.ConnFailed(errors.New("not etcd"), true)
	if v, _ = d.set.makeView(); !v.wrong {
		t.Error("no endpoint can work, but that was not noticed")
	}
	b.conn.ConnFailed(errors.New("connection refused"), false)
	if v, _ = d.set.makeView(); v.wrong {
		t.Error("one endpoint may work again, but that was not noticed")
	}
}

// A call that fails fast does not fail because a connection that worked was just lost:
// the next one is waited for as the first was.
func TestReconnectIsWaitedFor(t *testing.T) {
	d, m := bench(t, "a")
	d.wait(2 * time.Second)
	d.modes["a"] = "refused"
	d.change(func(now int64, fx *effects) { d.set.connLost(m[0].conn, io.EOF, now, fx) })
	if v, state := d.set.makeView(); v.err != nil || state != connectivity.Connecting {
		t.Errorf("while it is connected again: %v, %v", v.err, state)
	}
	d.wait(10 * time.Millisecond)
	if v, _ := d.set.makeView(); v.err == nil {
		t.Error("the connection was refused, but calls that fail fast still wait")
	}
}

// A connection that lived only briefly is not made anew at once, unless a call was answered on it.
func TestShortLivedConnections(t *testing.T) {
	d, m := bench(t, "a")
	lose := func() {
		d.change(func(now int64, fx *effects) { d.set.connLost(m[0].conn, io.EOF, now, fx) })
	}
	d.wait(10 * time.Millisecond)
	lose()
	if m[0].conn != nil {
		t.Error("nothing was answered, but it is dialled at once")
	}
	d.wait(300 * time.Millisecond)
	v, _ := d.set.makeView()
	ctx := &Context{Context: context.Background()}
	if _, err := (&picker{d.set, v}).Pick(balancer.PickInfo{Ctx: ctx}); err != nil {
		t.Fatal(err)
	}
	ctx.Pick.Finish(Done)
	lose()
	if m[0].conn == nil {
		t.Error("a call was answered, but it is not dialled at once")
	}
}

func TestPicking(t *testing.T) {
	d, m := bench(t, "a", "b", "c")
	v, _ := d.set.makeView()
	p := &picker{d.set, v}
	m[0].latency.Store(int64(200 * time.Millisecond))
	m[1].latency.Store(int64(time.Millisecond))
	m[2].latency.Store(int64(time.Millisecond))
	got := make(map[*Member]int)
	pick := func(want *Pick) *Member {
		ctx := &Context{Context: context.Background()}
		ctx.Pick.Avoid, ctx.Pick.Prefer, ctx.Pick.Pin = want.Avoid, want.Prefer, want.Pin
		r, err := p.Pick(balancer.PickInfo{Ctx: context.WithValue(ctx, new(int), 1)})
		if err != nil || ctx.Pick.Got == nil || r.SubConn != ctx.Pick.Got.conn.sub {
			t.Fatalf("%+v, %v", r, err)
		}
		ctx.Pick.Finish(Done)
		return ctx.Pick.Got
	}
	for range 1000 {
		got[pick(&Pick{})]++
	}
	if got[m[0]] != 0 || got[m[1]] < 300 || got[m[2]] < 300 {
		t.Errorf("slow %d, fast %d and %d of 1000", got[m[0]], got[m[1]], got[m[2]])
	}
	if o := pick(&Pick{Avoid: m[1].slot | m[2].slot}); o != m[0] {
		t.Errorf("picked %s, which was to be avoided", o.Name())
	}
	if o := pick(&Pick{Prefer: m[0]}); o != m[0] {
		t.Errorf("picked %s, not the preferred one", o.Name())
	}
	if o := pick(&Pick{Pin: m[0], Avoid: m[0].slot}); o != m[0] {
		t.Errorf("picked %s, not the pinned one", o.Name())
	}
	pick(&Pick{Avoid: ^uint64(0)}) // all were tried: any is better than none
	// One in doubt gets nothing, unless the others were tried.
	m[0].latency.Store(1)
	waiting := &Pick{}
	waiting.took(m[0].conn, d.clock)
	d.clock += int64(silenceMin)
	for range 100 {
		if o := pick(&Pick{}); o == m[0] {
			t.Fatal("picked a member that has not answered for long")
		}
	}
	if o := pick(&Pick{Avoid: m[1].slot | m[2].slot}); o != m[0] {
		t.Errorf("picked %s, which was tried", o.Name())
	}
	waiting.Finish(Unanswered)
	for _, o := range m {
		if n := o.conn.calls.n.Load(); n != 0 || o.conn.busy() {
			t.Errorf("%s counts %d calls that have ended", o.Name(), n)
		}
	}
	ctx := &Context{Context: context.Background()}
	ctx.Pick.Pin = m[0]
	d.wait(2 * flapTime)
	d.modes["a"] = "refused"
	d.change(func(now int64, fx *effects) { d.set.connLost(m[0].conn, errors.New("connection reset"), now, fx) })
	if _, err := p.Pick(balancer.PickInfo{Ctx: ctx}); err != balancer.ErrNoSubConnAvailable {
		t.Errorf("a pinned member that is just reconnecting: %v", err)
	}
	d.wait(time.Second)
	// An error without a status lets calls wait if they do not fail fast.
	if _, err := p.Pick(balancer.PickInfo{Ctx: ctx}); err == nil || etcderr.Code(err) == codes.Unavailable ||
		!strings.Contains(err.Error(), "refused") {
		t.Errorf("a pinned member that is away: %v", err)
	}
	m[0].conn.wrong = true
	if _, err := p.Pick(balancer.PickInfo{Ctx: ctx}); err == nil || etcderr.Code(err) == codes.Unavailable {
		t.Errorf("a pinned member that worked before and does not match the configuration now: %v", err)
	}
	m[0].worked = false
	if _, err := p.Pick(balancer.PickInfo{Ctx: ctx}); etcderr.Code(err) != codes.Unavailable ||
		!strings.Contains(err.Error(), "refused") {
		t.Errorf("a pinned member that does not match the configuration: %v", err)
	}
}

// When all members are in doubt, for example because this machine stood still, a member that was
// silent before that gets nothing.
func TestSilentMemberGetsNothingWhenAllAreInDoubt(t *testing.T) {
	d, m := bench(t, "a", "b", "c")
	for i, o := range m {
		(&Pick{}).took(o.conn, d.clock)
		if i > 0 {
			o.conn.lastByte.Store(d.clock + int64(time.Second-silenceMin))
		}
	}
	d.clock += int64(time.Second)
	v, _ := d.set.makeView()
	for range 100 {
		if i := (&picker{d.set, v}).choose(&Pick{}, d.clock); v.usable[i].m == m[0] || !v.usable[i].doubtful(d.clock) {
			t.Fatalf("picked %s", v.usable[i].m.Name())
		}
	}
	if i := (&picker{d.set, v}).choose(&Pick{Avoid: m[1].slot | m[2].slot}, d.clock); v.usable[i].m != m[0] {
		t.Errorf("picked %s, which was tried", v.usable[i].m.Name())
	}
}

// What much waits for goes to a member that has just shown life, though no other is in doubt yet.
func TestUrgentWorkGoesToTheLiving(t *testing.T) {
	d, m := bench(t, "a", "b", "c")
	d.clock += int64(livelyFor)
	m[1].conn.lastByte.Store(d.clock)
	v, _ := d.set.makeView()
	others := false
	for range 100 {
		if i := (&picker{d.set, v}).choose(&Pick{Urgent: true}, d.clock); v.usable[i].m != m[1] {
			t.Fatalf("picked %s, which may be frozen", v.usable[i].m.Name())
		}
		others = others || v.usable[(&picker{d.set, v}).choose(&Pick{}, d.clock)].m != m[1]
	}
	if !others {
		t.Error("ordinary work went to no other member")
	}
	if i := (&picker{d.set, v}).choose(&Pick{Urgent: true, Avoid: m[1].slot}, d.clock); v.usable[i].m == m[1] {
		t.Error("picked a member that was tried")
	}
	// In an election all are in doubt. The one that answers is still the best that was not tried,
	// also over a long link, where a silence of a second proves nothing.
	for _, o := range m {
		o.conn.pondered.Store(1)
		o.trip.value.Store(int64(time.Second))
	}
	d.clock += int64(time.Minute)
	for _, o := range m {
		o.conn.lastByte.Store(d.clock)
	}
	d.clock += int64(time.Second)
	m[1].conn.lastByte.Store(d.clock)
	for range 100 {
		if i := (&picker{d.set, v}).choose(&Pick{Urgent: true, Avoid: m[0].slot}, d.clock); v.usable[i].m != m[1] {
			t.Fatalf("all are in doubt: picked %s, which may be frozen", v.usable[i].m.Name())
		}
	}
}

// A pick on an old view does not put work on a connection that has retired since.
func TestRetiredConnectionsTakeNothing(t *testing.T) {
	d, m := bench(t, "a")
	v, _ := d.set.makeView()
	d.change(func(now int64, fx *effects) { d.set.connLost(m[0].conn, io.EOF, now, fx) })
	ctx := &Context{Context: context.Background()}
	_, err := (&picker{d.set, v}).Pick(balancer.PickInfo{Ctx: ctx})
	if !errors.Is(err, balancer.ErrNoSubConnAvailable) {
		t.Errorf("%v", err)
	}
	ctx.Pick.Finish(Unanswered)
	if ctx.Pick.took(m[0].conn, d.clock) {
		t.Error("work that has ended was put on a connection")
	}
}

// A member that was slow once is measured again, and used again if it is fast.
func TestSlowMemberIsForgiven(t *testing.T) {
	for _, tc := range []struct{ probe, want time.Duration }{
		{time.Millisecond, 2 * time.Millisecond}, {200 * time.Millisecond, 200 * time.Millisecond},
	} {
		d, m := bench(t, "a", "b")
		d.delay["a"] = tc.probe
		m[0].sample(3*time.Second, d.clock)
		m[1].latency.Store(int64(2 * time.Millisecond))
		m[1].trip.value.Store(int64(2 * time.Millisecond))
		d.delay["b"] = 2 * time.Millisecond
		busy := &Pick{Stream: false}
		busy.took(m[1].conn, d.clock)
		d.load = []string{"b"}
		d.wait(3 * exploreAfter)
		if got := time.Duration(m[0].latency.Load()); got != tc.want {
			t.Errorf("after a probe of %v: %v, want %v", tc.probe, got, tc.want)
		}
	}
}

func TestWhichErrorsStallTheirMember(t *testing.T) {
	for err, stalls := range map[error]bool{
		rpctypes.ErrGRPCNoLeader: true, rpctypes.ErrGRPCTimeout: true, rpctypes.ErrGRPCNotSupportedForLearner: true,
		rpctypes.ErrGRPCEmptyKey: false, rpctypes.ErrGRPCCompacted: false, context.Canceled: false,
		rpctypes.ErrGRPCRequestTooManyRequests: false,
	} {
		_, m := bench(t, "a", "b")
		m[0].Failed(err, &Pick{})
		if got := m[0].state == Stalled; got != stalls {
			t.Errorf("%v stalls its member: %v", err, got)
		}
	}
}

// A server takes seconds to give up on a request; meanwhile it may have recovered.
func TestOldNewsDoesNotStall(t *testing.T) {
	d, m := bench(t, "a", "b")
	old, fresh, late := &Pick{Consensus: true}, &Pick{Consensus: true}, &Pick{Consensus: true}
	old.took(m[0].conn, d.clock)
	d.clock += int64(time.Second)
	fresh.took(m[0].conn, d.clock)
	d.clock += int64(time.Millisecond)
	fresh.Finish(Done)
	old.Finish(Answered)
	m[0].Failed(rpctypes.ErrGRPCTimeout, old)
	if m[0].state != Healthy {
		t.Errorf("old news made it %v", m[0].state)
	}
	late.took(m[0].conn, d.clock)
	d.clock += int64(7 * time.Second)
	late.Finish(Answered)
	m[0].Failed(rpctypes.ErrGRPCTimeout, late)
	if m[0].state != Stalled {
		t.Errorf("a request that it gave up on left it %v", m[0].state)
	}
}

func TestNewEndpointsKeepMembersAndReuseTheirSlots(t *testing.T) {
	d, m := bench(t, "a", "b")
	d.change(func(now int64, fx *effects) { d.set.replace(parse(t, "a", "c"), now, fx) })
	l := d.set.Members()
	if len(l) != 2 || l[0] != m[0] || l[0].state != Healthy || l[1].Name() != "c:1" {
		t.Errorf("members: %v", d.set.States())
	}
	if d.set.Find(parse(t, "a")[0]) != m[0] || d.set.Find(endpoint.Endpoint{Network: "tcp", Addr: "x:1"}) != nil {
		t.Error("Find does not return the member of an endpoint, or returns one of an unknown endpoint")
	}
	// Slots are used again: 200 replacements do not make two members share one.
	for i := range 200 {
		d.change(func(now int64, fx *effects) { d.set.replace(parse(t, "a", fmt.Sprint("x", i)), now, fx) })
		d.wait(2 * linger)
		if l := d.set.Members(); l[0].slot == l[1].slot || l[1].slot > 1<<8 {
			t.Fatalf("after %d replacements: slots %x and %x", i, l[0].slot, l[1].slot)
		}
	}
}

func TestAverageFollowsUsualTimesNotOnePause(t *testing.T) {
	var a average
	now := int64(time.Hour)
	step := func(d time.Duration) time.Duration {
		now += int64(d)
		a.add(int64(d), now)
		return time.Duration(a.value.Load())
	}
	if got := step(time.Second); got != time.Second {
		t.Errorf("the first observation should count in full: %v", got)
	}
	for range 60 {
		step(time.Millisecond)
	}
	usual := step(time.Millisecond)
	if usual > 3*time.Millisecond {
		t.Errorf("after many fast ones: %v", usual)
	}
	// 300 calls waited through the same pause of 3 s.
	now += int64(3 * time.Second)
	for range 300 {
		a.add(int64(3*time.Second), now)
	}
	if got := time.Duration(a.value.Load()); silenceFactor*got > silenceMin || probeFactor*got > stallMin {
		t.Errorf("one pause made it %v, which lifts a limit", got)
	}
	for range 20 {
		step(600 * time.Millisecond)
	}
	if got := step(600 * time.Millisecond); got < 590*time.Millisecond || got > 660*time.Millisecond {
		t.Errorf("after many slow ones: %v, want about 600 ms", got)
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
	d, _ := bench(&testing.T{}, "a", "b", "c")
	v, _ := d.set.makeView()
	p := &picker{d.set, v}
	d.set.now = func() int64 { return int64(time.Since(d.set.base)) }
	b.ReportAllocs()
	for b.Loop() {
		ctx := &Context{Context: context.Background()}
		if _, err := p.Pick(balancer.PickInfo{Ctx: ctx}); err != nil {
			b.Fatal(err)
		}
		ctx.Pick.Finish(Done)
	}
}

// A member whose calls are slow has long limits, and the health check that follows an unanswered
// status has half of the probe's time all the same.
func TestStatusLeavesTimeForTheHealthCheck(t *testing.T) {
	m := newSet(Config{}, parse(t, "a")).members[0]
	if got := m.statusWait(time.Second); got != silenceMin {
		t.Errorf("of a fast member: %v, want %v", got, silenceMin)
	}
	m.agree.value.Store(int64(time.Second))
	if got := m.statusWait(time.Second); got != time.Second/2 {
		t.Errorf("of a slow member: %v, want half of the probe's second", got)
	}
}
