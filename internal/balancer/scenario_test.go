package balancer

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/balancer"

	"github.com/fairlead-go/fairlead/internal/endpoint"
	"github.com/fairlead-go/fairlead/internal/watch/scenario"
)

var rewrite = flag.Bool("rewrite", false, "write what the code does into the scenario files")

func TestScenarios(t *testing.T) {
	scenario.Run(t, "testdata/*.txt", *rewrite, func(t *testing.T) func(scenario.Command) string {
		return newDriver(t).do
	})
}

// driver plays gRPC, the network and the members for one scenario, with a clock of its
// own. Connections are called a.1, a.2 in the order in which they were made.
type driver struct {
	t           *testing.T
	set         *Set
	clock       int64
	began       int64
	conns       map[string]*conn
	names       map[*conn]string
	work        map[string]*Pick
	modes       map[string]string // of a member or a connection: see "set" below
	delay       map[string]time.Duration
	later       []event
	tickAt, fed int64
	load        []string // members that answer a call every 20 ms
	probes      bool     // probes are printed too
	used        string   // the usable connections, as printed last
	out         []string
}

type event struct {
	at int64
	do func(fx *effects)
}

type fakeSub struct{ balancer.SubConn }

func newDriver(t *testing.T) *driver {
	d := &driver{t: t}
	d.start(Config{}, nil)
	return d
}

func (d *driver) start(cfg Config, endpoints []endpoint.Endpoint) {
	*d = driver{
		t: d.t, conns: map[string]*conn{}, names: map[*conn]string{}, work: map[string]*Pick{},
		modes: map[string]string{},
		delay: map[string]time.Duration{}, clock: int64(time.Hour), began: int64(time.Hour),
	}
	d.set = newSet(cfg, endpoints)
	d.set.online = true
	d.set.now = func() int64 { return d.clock }
	d.set.wall = func() time.Time { return time.Unix(0, d.clock) }
}

func parse(t *testing.T, names ...string) (list []endpoint.Endpoint) {
	for _, n := range names {
		e, err := endpoint.Parse(n + ":1")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func name(m *Member) string { return strings.TrimSuffix(m.Name(), ":1") }

func (d *driver) print(format string, args ...any) {
	d.out = append(d.out, fmt.Sprintf("%6.3f ", time.Duration(d.clock-d.began).Seconds())+fmt.Sprintf(format, args...))
}

// change makes one transition and carries out its effects, as Set.change does.
func (d *driver) change(f func(now int64, fx *effects)) {
	fx := &effects{}
	f(d.clock, fx)
	for _, n := range fx.notes {
		why := ""
		if n.err != nil {
			why = ": " + n.err.Error()
		}
		d.print("%s is %v%s", name(n.m), n.to, why)
	}
	for _, c := range fx.dial {
		d.dialled(c)
	}
	for _, c := range fx.connect {
		d.connecting(c)
	}
	for _, o := range fx.probes {
		d.probe(o)
	}
	for _, c := range fx.cancel {
		c.end(c.why)
	}
	for _, c := range fx.closing {
		d.print("close %s", d.names[c])
	}
	if fx.publish {
		v, _ := d.set.makeView()
		var list []string
		for _, c := range v.usable {
			list = append(list, d.names[c])
		}
		if used := strings.Join(list, " "); used != d.used {
			d.used = used
			d.print("usable: %s", used)
		}
	}
	if d.tickAt == 0 || d.tickAt > d.clock+1 {
		d.tickAt = d.clock + 1
	}
}

func (d *driver) dialled(c *conn) {
	n := 1
	for d.conns[fmt.Sprintf("%s.%d", name(c.m), n)] != nil {
		n++
	}
	id := fmt.Sprintf("%s.%d", name(c.m), n)
	d.conns[id], d.names[c] = c, id
	c.sub = &fakeSub{}
	c.ConnOpened(struct{ net.Conn }{})
	lane := ""
	if c.lane {
		lane = " as lane"
	}
	if d.clock != int64(time.Hour) {
		d.print("dial %s%s", id, lane)
	}
	d.connecting(c)
}

// mode is what happens to what is sent on c.
func (d *driver) mode(c *conn) string {
	if m, ok := d.modes[d.names[c]]; ok {
		return m
	}
	return d.modes[name(c.m)]
}

func (d *driver) trip(c *conn) time.Duration { return max(d.delay[name(c.m)], time.Millisecond) }

func (d *driver) connecting(c *conn) {
	c.dialled = d.clock
	switch d.mode(c) {
	case "frozen": // connects when it thaws; "mute" connects and then says nothing
	case "refused":
		d.after(
			time.Millisecond,
			func(fx *effects) { d.set.connLost(c, errors.New("connection refused"), d.clock, fx) },
		)
		d.after(time.Second, func(fx *effects) {
			if c.stage == dialing {
				fx.connect = append(fx.connect, c)
			}
		})
	default:
		d.after(2*d.trip(c), func(fx *effects) {
			if c.stage == dialing {
				d.set.connReady(c, d.clock, fx)
			}
		})
	}
}

func (d *driver) after(t time.Duration, do func(fx *effects)) {
	d.later = append(d.later, event{d.clock + int64(t), do})
}

func (d *driver) probe(o probeOrder) {
	kind := map[probeKind]string{aliveProbe: "alive", consensusProbe: "consensus"}[o.kind]
	if d.probes {
		d.print("probe %s %s within %v", d.names[o.c], kind, o.timeout)
	}
	began := d.clock
	result := func(err error, v verdict, bytes bool) func(*effects) {
		return func(fx *effects) {
			if bytes && d.mode(o.c) != "frozen" {
				o.c.BytesArrived()
			}
			d.set.probed(o, err, v, time.Duration(d.clock-began), d.clock, fx)
			if o.leader && v == answered {
				l := map[string]leadership{"cut off": leaderless, "busy": noAnswer}[d.mode(o.c)]
				d.set.leaderAsked(o.c, l, d.clock)
			}
		}
	}
	trip := d.trip(o.c)
	mode := d.mode(o.c)
	if mode == "mute" {
		mode = "frozen"
	}
	switch {
	case mode == "frozen" && o.kind == consensusProbe: // no health check comes through either
		d.after(o.timeout+o.c.m.probeTimeout(), result(context.DeadlineExceeded, blocked, false))
	case mode == "frozen" || o.kind == aliveProbe && trip > o.timeout:
		d.after(o.timeout, result(context.DeadlineExceeded, unanswered, false))
		if mode != "frozen" {
			d.after(trip, func(*effects) { o.c.BytesArrived() })
		}
	case o.kind == aliveProbe:
		d.after(trip, result(nil, answered, true))
	case mode == "no quorum", mode == "cut off":
		d.after(o.timeout+trip, result(nil, unanswered, true))
	case mode == "no leader":
		d.after(trip, result(rpctypes.ErrGRPCNoLeader, answered, true))
	case mode == "denied":
		d.after(trip, result(rpctypes.ErrGRPCPermissionDenied, answered, true))
	case mode == "full":
		d.after(o.timeout+o.c.m.probeTimeout(), result(nil, blocked, true))
	default:
		d.after(trip, result(nil, answered, true))
	}
}

// wait lets time go by: ticks, probes and connections as they come.
func (d *driver) wait(t time.Duration) {
	end := d.clock + int64(t)
	for steps := 0; ; steps++ {
		if steps > 100000 {
			d.t.Fatal("time does not go on")
		}
		at := end
		if d.tickAt != 0 {
			at = min(at, d.tickAt)
		}
		for _, e := range d.later {
			at = min(at, e.at)
		}
		if len(d.load) > 0 {
			at = min(at, d.fed+int64(20*time.Millisecond))
		}
		d.clock = max(at, d.clock)
		d.feed()
		if i := slices.IndexFunc(d.later, func(e event) bool { return e.at <= d.clock }); i >= 0 {
			e := d.later[i]
			d.later = slices.Delete(d.later, i, i+1)
			d.change(func(_ int64, fx *effects) { e.do(fx) })
			continue
		}
		if d.tickAt != 0 && d.tickAt <= d.clock {
			d.tick()
			continue
		}
		if d.clock >= end {
			return
		}
	}
}

func (d *driver) tick() {
	var next time.Duration
	d.tickAt = 0
	d.change(func(now int64, fx *effects) { next = d.set.tick(now, fx) })
	d.tickAt = 0
	if next > 0 {
		d.tickAt = d.clock + int64(next)
	}
}

// feed gives the members under load a call that is answered at once.
func (d *driver) feed() {
	if d.clock < d.fed+int64(20*time.Millisecond) {
		return
	}
	d.fed = d.clock
	for _, n := range d.load {
		m := d.member(n)
		p := &Pick{Consensus: true, Short: true}
		if m.ready() && d.mode(m.conn) == "" && p.took(m.conn, d.clock-int64(d.trip(m.conn))) {
			m.conn.BytesArrived()
			p.Finish(Done)
			if d.tickAt == 0 {
				d.tickAt = d.clock + 1
			}
		}
	}
}

func (d *driver) member(n string) *Member {
	for _, m := range append(d.set.Members(), d.set.leaving...) {
		if name(m) == n {
			return m
		}
	}
	d.t.Fatalf("no member %s", n)
	return nil
}

func (d *driver) do(c scenario.Command) string {
	d.out = nil
	d.input(c)
	return scenario.Lines(d.out)
}

func (d *driver) input(c scenario.Command) {
	switch c.Name {
	// members a b c [trip=] [pinned=] [fresh=yes]: a new client, connected to all; fresh: it has
	// made no call
	case "members":
		pinned, _ := time.ParseDuration(c.Args["pinned"])
		d.start(Config{SilenceLimit: pinned, ProbeTimeout: pinned, StallTimeout: pinned}, parse(d.t, c.Words...))
		for _, n := range c.Words {
			d.delay[n], _ = time.ParseDuration(c.Args["trip"])
		}
		d.change(func(now int64, fx *effects) {
			for _, m := range d.set.members {
				m.conn = d.set.dial(m, false, now, fx)
			}
		})
		d.wait(10*time.Millisecond + 2*d.delay[c.Word(0)])
		if c.Args["fresh"] == "" {
			d.set.agree.add(max(int64(d.delay[c.Word(0)]), int64(time.Millisecond)), d.clock)
		}
		d.out = d.out[:0]
		d.began = d.clock
	case "endpoints": // as SetEndpoints
		d.change(func(now int64, fx *effects) { d.set.replace(parse(d.t, c.Words...), now, fx) })
	case "write", "read", "watch", "range", "snapshot": // write NAME MEMBER [pinned] [local]
		m := d.member(c.Word(1))
		p := &Pick{
			Class: map[string]Class{
				"write": Write, "read": Read, "watch": Session, "range": Bulk, "snapshot": Bulk,
			}[c.Name],
			Resumes: c.Name == "range",
			Stream: c.Name != "write" &&
				c.Name != "read", Consensus: c.Name == "write" || c.Name == "read" && !c.Has("local"),
			Short: c.Name == "write" || c.Name == "read",
		}
		p.Cancel = func(err error) {
			d.print("end %s: %v", c.Word(0), err)
			p.Finish(Unanswered)
		}
		if c.Has("pinned") {
			p.Pin = m
		}
		on := m.conn
		if c.Has("lane") {
			p.Lane = true
			on = m.laneFor(p)
		}
		if on == nil || !p.took(on, d.clock) {
			d.print("%s takes nothing now", name(m))
			d.tickAt = d.clock + 1
			break
		}
		d.work[c.Word(0)] = p
		d.print("%s on %s", c.Word(0), d.names[on])
		d.tickAt = d.clock + 1
		if mode := d.mode(on); c.Name == "watch" && mode != "frozen" && mode != "mute" {
			d.after(d.trip(on), func(*effects) { on.BytesArrived() })
		}
	case "done", "refused", "over": // of work: with a result, with an error, without an answer
		p := d.work[c.Word(0)]
		if p == nil {
			d.t.Fatalf("no work %s; %s", c.Word(0), scenario.Lines(d.out))
		}
		if c.Name == "done" {
			p.conn.BytesArrived()
		}
		p.Finish(map[string]Outcome{"done": Done, "refused": Answered, "over": Unanswered}[c.Name])
		d.tickAt = d.clock + 1
	case "asks": // a stream sends its first message; "comes": the answer
		d.work[c.Word(0)].Asks()
		d.tickAt = d.clock + 1
	case "comes":
		p := d.work[c.Word(0)]
		p.conn.BytesArrived()
		p.Received()
	case "set": // set MEMBER|CONNECTION frozen|no quorum|cut off|no leader|denied|full|refused|well
		mode := strings.Join(c.Words[1:], " ")
		if mode == "well" {
			mode = ""
		}
		d.modes[c.Word(0)] = mode
		for id, o := range d.conns { // what was frozen goes on
			if mode == "" && (id == c.Word(0) || name(o.m) == c.Word(0)) && o.stage == dialing {
				d.connecting(o)
			}
		}
	case "trip": // trip MEMBER 600ms: there and back
		d.delay[c.Word(0)], _ = time.ParseDuration(c.Word(1))
	case "agree": // agree MEMBER 2s: so long takes what needs consensus
		d.member(c.Word(0)).agree.value.Store(int64(must(time.ParseDuration(c.Word(1)))))
	case "bytes":
		d.conns[c.Word(0)].BytesArrived()
		d.tickAt = d.clock + 1
	case "lost":
		d.change(func(now int64, fx *effects) { d.set.connLost(d.conns[c.Word(0)], io.EOF, now, fx) })
	case "wrong": // the other side is not what the configuration says
		d.conns[c.Word(0)].ConnFailed(errors.New("certificate"), true)
		d.change(func(_ int64, fx *effects) { fx.publish = true })
	case "load":
		d.load = c.Words
	case "show": // show probes
		d.probes = c.Has("probes")
	case "pause": // this process stands still
		d.clock += int64(c.Duration(d.t))
		d.tick()
	case "fail": // fail WORK noleader: an answer that says something of its member
		p := d.work[c.Word(0)]
		p.Finish(Answered)
		d.change(func(now int64, fx *effects) { d.set.stall(p.Got, rpctypes.ErrNoLeader, now, fx) })
	case "wait":
		d.wait(c.Duration(d.t))
	case "doubt": // which members are in doubt
		var list []string
		for _, m := range d.set.members {
			if m.conn != nil && m.conn.doubtful(d.clock) {
				list = append(list, name(m))
			}
		}
		d.print("in doubt: %s", strings.Join(list, " "))
	case "state":
		for _, m := range append(d.set.members, d.set.leaving...) {
			var list []string
			for _, o := range m.conns() {
				list = append(list, d.names[o])
			}
			d.print("%s %v %s", name(m), m.state, strings.Join(list, " "))
		}
	default:
		d.t.Fatalf("unknown command %q", c.Name)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
