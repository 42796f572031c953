package balancer

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"

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
	for _, c := range v.usable {
		slots |= c.m.slot
	}
	s.count.Store(int32(len(v.usable)))
	s.slots.Store(slots)
	s.cc.UpdateState(balancer.State{ConnectivityState: state, Picker: &picker{s, v}})
}

// carryOut does the I/O of a transition. Callers do not hold mu.
func (s *Set) carryOut(fx *effects) {
	for _, n := range fx.notes {
		level := zap.DebugLevel
		if n.to >= Stalled || n.from >= Stalled {
			level = zap.WarnLevel
		}
		s.cfg.Log.Log(level, "member changed state", zap.String("endpoint", n.m.Name()),
			zap.Stringer("from", n.from), zap.Stringer("to", n.to), zap.NamedError("reason", n.err))
		if s.cfg.Observe != nil {
			s.cfg.Observe(Change{Endpoint: n.m.Name(), From: n.from, To: n.to, Err: n.err})
		}
	}
	for _, c := range fx.dial {
		s.connect(c)
	}
	for _, c := range fx.connect {
		s.mu.Lock()
		sub := c.sub
		s.mu.Unlock()
		if sub != nil {
			sub.Connect()
		}
	}
	for _, o := range fx.probes {
		s.group.Go(func(ctx context.Context) { s.probe(ctx, o) })
	}
	for _, c := range fx.cancel {
		c.end(c.why)
	}
	for _, c := range fx.closing {
		s.close(c)
	}
	if len(fx.notes) > 0 || len(fx.probes) > 0 {
		s.poke()
	}
}

// close closes a connection for good. The network's own comes first: gRPC says farewell
// on it, to a peer that may not read.
func (s *Set) close(c *conn) {
	s.mu.Lock()
	sub, n := c.sub, c.net
	s.mu.Unlock()
	if n != nil {
		_ = n.Close() // it is closed because it is of no use; its error says nothing more
	}
	if sub != nil {
		s.group.Go(func(context.Context) { sub.Shutdown() })
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

// probe makes one probe on the connection that it is about.
func (s *Set) probe(ctx context.Context, o probeOrder) {
	s.mu.Lock()
	sub := o.c.sub
	s.mu.Unlock()
	if sub == nil {
		s.change(func(now int64, fx *effects) { s.probed(o, nil, unanswered, 0, now, fx) })
		return
	}
	p, done := sub.GetOrBuildProducer(connBuilder{})
	defer done()
	cc := p.(grpc.ClientConnInterface)
	began := s.now()
	var err error
	var v verdict
	var lead leadership
	if o.kind == aliveProbe {
		if o.leader {
			lead, err = askLeader(ctx, cc, o.c.m.statusWait(o.timeout))
		}
		if v = verdictOf(err); !o.leader || v != answered {
			left := o.timeout - time.Duration(s.now()-began)
			began = s.now()
			err = checkHealth(ctx, cc, left)
			v = verdictOf(err)
		}
	} else {
		v, err = s.probeConsensus(ctx, cc, o)
	}
	took := time.Duration(s.now() - began)
	s.change(func(now int64, fx *effects) {
		s.probed(o, err, v, took, now, fx)
		if o.leader && v == answered {
			s.leaderAsked(o.c, lead, now)
		}
	})
	s.poke()
}

// askLeader asks a member for its status, which says whether it has a leader. One that does not
// answer as soon as calls do may be busy: status waits for a defragmentation.
func askLeader(ctx context.Context, cc grpc.ClientConnInterface, timeout time.Duration) (leadership, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := pb.NewMaintenanceClient(cc).Status(ctx, &pb.StatusRequest{})
	switch {
	case !fromServer(err):
		return noAnswer, err
	case err != nil || r.Leader != 0: // a refusal says nothing about the leader
		return led, err
	}
	return leaderless, nil
}

// healthCheck is the method of gRPC's health service. Its request is an empty message and any
// answer counts, so an empty message of etcd's does for both; the package of its own would only
// make programs larger.
const healthCheck = "/grpc.health.v1.Health/Check"

func checkHealth(ctx context.Context, cc grpc.ClientConnInterface, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return cc.Invoke(ctx, healthCheck, &pb.StatusRequest{}, &pb.StatusRequest{})
}

// probeConsensus makes a read that needs consensus. If that goes unanswered a health
// check tells a member that does not finish calls from a connection that is full.
//
// A read without a token, which is refused only after the members agreed, tells it from a member
// that waits because of the token: etcd's simple tokens end with the raft index of their login, and
// a member that has not come so far says nothing until it has. After a restore from a backup that
// may be never.
func (s *Set) probeConsensus(ctx context.Context, cc grpc.ClientConnInterface, o probeOrder) (verdict, error) {
	ctx, cancel := context.WithCancel(ctx)
	giveUp := s.cfg.Token()
	read := make(chan error, 1)
	running := s.group.Go(func(context.Context) { read <- readAgreed(ctx, cc) })
	if !running {
		cancel()
		return unanswered, nil
	}
	defer func() { cancel() }()
	wait := o.timeout
	if giveUp != nil {
		wait = min(wait, bareLeast)
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case err := <-read:
		return verdictOf(err), err
	case <-t.C:
	}
	answers := func(ctx context.Context, within time.Duration) bool {
		ctx, done := context.WithTimeout(ctx, within)
		defer done()
		return agreed(readAgreed(ctx, cc))
	}
	began := time.Now()
	if giveUp != nil && answers(context.WithValue(ctx, bareKey{}, true), max(o.timeout-wait, bareLeast)) {
		select {
		case err := <-read:
			return verdictOf(err), err
		default:
		}
		within := max(bareRatio*time.Since(began), bareLeast)
		// The member has not just begun to answer, and it is not silent again.
		if !answers(ctx, within) && verdictOf(checkHealth(ctx, cc, within)) == answered && giveUp() {
			s.cfg.Log.Warn(
				"calls with the token are not answered, others are: logging in anew",
				zap.String("endpoint", o.c.m.Name()),
			)
			s.change(func(_ int64, fx *effects) { s.anew(fx) })
		}
		return blocked, nil
	}
	through := verdictOf(checkHealth(ctx, cc, o.c.m.probeTimeout()))
	select {
	case err := <-read:
		return verdictOf(err), err
	default:
	}
	if through != answered {
		return blocked, nil
	}
	return unanswered, nil
}

// agreed: the answer, a refusal perhaps, shows that the members agreed.
func agreed(err error) bool {
	if err == nil {
		return true
	}
	switch etcderr.ClassOf(err) {
	case etcderr.NoLeader, etcderr.NoQuorum, etcderr.Learner, etcderr.Ended, etcderr.Broken:
		return false
	}
	return fromServer(err)
}

// readAgreed reads what needs the members' agreement.
func readAgreed(ctx context.Context, cc grpc.ClientConnInterface) error {
	_, err := pb.NewKVClient(cc).Range(ctx, &pb.RangeRequest{Key: []byte{0}, Limit: 1, KeysOnly: true})
	return err
}

// A call with a token has so many times as long as one without, and so long at least, also before
// the one without is made.
const (
	bareRatio = 4
	bareLeast = 500 * time.Millisecond
)

type bareKey struct{}

// Bare reports whether a call is to carry no token.
func Bare(ctx context.Context) bool { return ctx.Value(bareKey{}) != nil }

func verdictOf(err error) verdict {
	if fromServer(err) {
		return answered
	}
	return unanswered
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

// connBuilder is a producer that only hands out the SubConn's own connection.
type connBuilder struct{}

func (connBuilder) Build(cc any) (balancer.Producer, func()) { return cc, func() {} }

// Failed tells the set what the error of an attempt or stream says of its member.
func (m *Member) Failed(err error, p *Pick) {
	switch etcderr.ClassOf(err) {
	case etcderr.NoQuorum:
		// The server takes seconds to give up on a request: what it says is old news
		// if it has finished others that began later.
		if p.conn != nil && p.conn.quorum.last.Load() > p.began {
			return
		}
	case etcderr.NoLeader, etcderr.Learner:
	default:
		return
	}
	m.set.change(func(now int64, fx *effects) { m.set.stall(m, err, now, fx) })
	m.set.poke()
}
