package balancer

import (
	"context"
	"log/slog"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// change runs one transition under the lock and carries out its effects.
func (s *Set) change(f func(now int64, fx *effects)) {
	var fx effects
	s.mu.Lock()
	f(s.now(), &fx)
	if fx.publish {
		s.publish()
	}
	s.mu.Unlock()
	s.carryOut(&fx)
}

// publish hands gRPC a picker over the members as they are. Callers hold mu.
func (s *Set) publish() {
	if s.cc == nil {
		return
	}
	v, state := s.makeView()
	var slots uint64
	for _, m := range v.usable {
		slots |= m.slot
	}
	s.count.Store(int32(len(v.usable)))
	s.slots.Store(slots)
	s.cc.UpdateState(balancer.State{ConnectivityState: state, Picker: &picker{v: v}})
}

// carryOut does the I/O of a transition. Callers do not hold mu.
func (s *Set) carryOut(fx *effects) {
	for _, n := range fx.notes {
		level := slog.LevelDebug
		if n.to >= Stalled || n.from >= Stalled {
			level = slog.LevelWarn
		}
		s.cfg.Log.Log(context.Background(), level, "member changed state",
			"endpoint", n.m.Name(), "from", n.from.String(), "to", n.to.String(), "reason", n.err)
		if s.cfg.Observe != nil {
			s.cfg.Observe(Change{Endpoint: n.m.Name(), From: n.from, To: n.to, Err: n.err})
		}
	}
	for _, m := range fx.connect {
		s.mu.Lock()
		sc := m.sc
		s.mu.Unlock()
		if sc != nil {
			sc.Connect()
		}
	}
	for _, o := range fx.probes {
		if !s.group.Go(func(ctx context.Context) { s.probe(ctx, o) }) {
			return
		}
	}
	for _, c := range fx.closing {
		_ = c.Close() // it is closed because it is of no use; its error says nothing more
	}
	for _, mv := range fx.moves {
		mv.s.move(mv.err)
	}
	if len(fx.notes) > 0 || len(fx.probes) > 0 {
		s.poke()
	}
}

// monitor is the one goroutine that watches over the members.
func (s *Set) monitor(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-s.wake:
		}
		// The flag is up before the members are looked at, so that a call that
		// begins meanwhile ends the sleep.
		s.asleep.Store(true)
		var next time.Duration
		s.change(func(now int64, fx *effects) { next = s.tick(now, fx) })
		if next == 0 {
			t.Stop()
			continue
		}
		if next <= watchSlow {
			s.asleep.Store(false) // soon enough without being woken
		}
		t.Reset(next)
	}
}

// probe makes one probe on the member's own connection.
func (s *Set) probe(ctx context.Context, o probeOrder) {
	s.mu.Lock()
	sc := o.m.sc
	s.mu.Unlock()
	began := s.now()
	var err error
	answered := false
	if sc != nil {
		err = onConn(sc, func(cc grpc.ClientConnInterface) error {
			ctx, cancel := context.WithTimeout(ctx, o.timeout)
			defer cancel()
			if o.kind == aliveProbe {
				_, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{})
				return err
			}
			_, err := pb.NewKVClient(cc).Range(ctx, &pb.RangeRequest{Key: []byte{0}, Limit: 1, KeysOnly: true})
			return err
		})
		answered = fromServer(err)
	}
	took := time.Duration(s.now() - began)
	s.change(func(now int64, fx *effects) { s.probed(o, err, answered, took, now, fx) })
	s.poke()
}

// fromServer: an answer of the server, whatever it says, and not of gRPC here.
func fromServer(err error) bool {
	if err == nil || etcderr.Known(err) != nil {
		return true
	}
	switch etcderr.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return false
	}
	return true
}

// onConn runs f with a client connection bound to one SubConn.
func onConn(sc balancer.SubConn, f func(grpc.ClientConnInterface) error) error {
	p, done := sc.GetOrBuildProducer(connBuilder{})
	defer done()
	return f(p.(grpc.ClientConnInterface))
}

// connBuilder is a producer that only hands out the SubConn's own connection.
type connBuilder struct{}

func (connBuilder) Build(cc any) (balancer.Producer, func()) { return cc, func() {} }

// begin notes that a unary attempt starts on m. Every begin is followed by one
// end.
func (m *Member) begin(now int64, consensus bool) {
	first := m.calls.begin(now)
	if consensus {
		m.consensus.begin(now)
	}
	if first && m.set.asleep.Load() {
		m.set.poke()
	}
}

// end notes the end of an attempt that began at began.
func (m *Member) end(began int64, consensus bool, o Outcome, short bool) {
	now := m.set.now()
	m.calls.end(now, o != Unanswered)
	if consensus {
		m.consensus.end(now, o == Done)
	}
	d := now - began
	if o == Unanswered {
		// How long an answer would have taken is not known; that it took longer than
		// usual is. The bound keeps an outage of the whole cluster from outlasting
		// itself in the estimates.
		d = min(d, int64(m.set.cfg.SuspectAfter))
	}
	if short && (o == Done || d > m.latency.Load()) {
		m.sample(time.Duration(d), now)
	}
}

// Failed tells the set what the error of an attempt or stream says of its member.
func (m *Member) Failed(err error, p *Pick) {
	switch etcderr.ClassOf(err) {
	case etcderr.NoQuorum:
		// The server takes seconds to give up on a request: what it says is old news
		// if it has finished others that began later.
		if m.consensus.last.Load() > p.began {
			return
		}
	case etcderr.NoLeader, etcderr.Learner:
	default:
		return
	}
	m.set.change(func(now int64, fx *effects) { m.set.stall(m, err, now, fx) })
	m.set.poke()
}
