package balancer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

type probeKind uint8

const (
	noProbe probeKind = iota
	aliveProbe
	consensusProbe
)

// verdict is what a probe has shown.
type verdict uint8

const (
	unanswered verdict = iota
	answered           // by the server, with a result or an error
	blocked            // a probe for consensus beside which not even a health check came through
)

// effects are what a transition wants done outside of the lock.
type effects struct {
	probes  []probeOrder
	dial    []*conn // new ones
	connect []*conn // those whose last attempt failed
	cancel  []cancellation
	closing []*conn
	publish bool
	notes   []note
}

type probeOrder struct {
	_       [0]func() // not comparable, see balancer.conn
	c       *conn
	kind    probeKind
	gen     uint64
	timeout time.Duration
	leader  bool // also asks which member leads
	beside  bool // beside one for consensus
}

type cancellation struct {
	end func(error)
	why error
}

// note is one line for the log.
type note struct {
	_        [0]func() // not comparable, see balancer.conn
	m        *Member
	from, to State
	err      error
}

func (s *Set) enter(m *Member, to State, err error, fx *effects) {
	if err != nil || to == Healthy {
		m.err = err
	}
	if m.state == to {
		return
	}
	fx.notes = append(fx.notes, note{m: m, from: m.state, to: to, err: m.err})
	m.state, m.since = to, s.wall()
	fx.publish = true
}

// dial is not inlined: its copies made programs larger.
//
//go:noinline
func (s *Set) dial(m *Member, lane bool, now int64, fx *effects) *conn {
	c := &conn{m: m, lane: lane, made: now, dialled: now}
	fx.dial = append(fx.dial, c)
	return c
}

// connReady: gRPC has a working connection.
func (s *Set) connReady(c *conn, now int64, fx *effects) {
	m := c.m
	c.stage, c.tried, c.failed, c.wrong, c.readyAt = ready, true, nil, false, now
	c.usedAt.Store(now)
	c.lastByte.Store(now)
	m.worked = true
	m.trip.add((now-c.dialled)/2, now) // TCP, then HTTP/2
	fx.publish = true
	if c == m.conn {
		s.follow(fx)
	}
	switch {
	case c == m.conn && m.stalled: // it proves nothing about the cluster behind it
		c.open(m.leftAt == 0)
		s.enter(m, Stalled, m.err, fx)
	case c == m.conn:
		c.open(m.leftAt == 0)
		s.enter(m, Healthy, nil, fx)
	case c == m.bulk:
		c.open(m.leftAt == 0)
	}
}

// follow moves what stayed on lost connections, now that there is another one.
func (s *Set) follow(fx *effects) {
	for _, list := range [...][]*Member{s.members, s.leaving} {
		for _, m := range list {
			for _, c := range m.retired {
				if c.stage == lost {
					s.moveOff(c, sessions, fx)
				}
			}
		}
	}
}

// flapTime: a connection that lived for less, and on which no call was answered, did not work.
const flapTime = time.Second

var errConnLost = errors.New("the connection was closed")

// errNotTaken ends a stream that stays (Pick.Stay).
var errNotTaken = errors.New("the stream was lost before a server took it")

// connLost: the connection broke, or could not be made.
func (s *Set) connLost(c *conn, err error, now int64, fx *effects) {
	m, was := c.m, c.stage
	c.tried = true
	c.probe(noProbe, now)
	if c.failed != nil || c.wrong {
		err, c.failed = nil, nil // m.err says it better
	}
	if was != ready {
		c.shun()
		if c == m.bulk {
			s.withoutLane(m, now, fx)
		} else if c == m.conn {
			if err != nil {
				m.err = err
			}
			fx.publish = true
		}
		return
	}
	c.stage = lost
	if c.retired {
		return // its work ends with it, or with the server
	}
	if time.Duration(now-c.readyAt) < flapTime && c.calls.last.Load() <= c.readyAt {
		// A server that takes connections and drops them must not be dialled in a tight
		// loop; gRPC's own backoff counts only attempts that fail.
		m.refusals++
		m.dialAt = now + int64(backoff(m.refusals))
	} else if m.state != Ejected {
		m.refusals = 0
	}
	switch {
	case m.stalled:
		err = nil // that outlives the connection, and so does its reason
	case err == nil && m.err == nil:
		err = errConnLost
	}
	inUse := c == m.conn
	s.retire(c, fx)
	switch {
	case inUse && m.state != Ejected: // of an ejected one the reason of that explains more
		s.enter(m, Connecting, err, fx)
		fx.publish = true
		// A server that is shutting down may keep its streams open for long, and serve them.
		if s.others(m, now) {
			s.moveOff(c, sessions, fx)
		}
		if m.dialAt <= now && m.leftAt == 0 {
			m.conn = s.dial(m, false, now, fx)
		}
	case inUse && m.dialAt <= now && m.next == nil && m.leftAt == 0:
		m.next = s.dial(m, false, now, fx)
	}
}

// withoutLane: the lane cannot be made now, so the connection in use has to serve.
func (s *Set) withoutLane(m *Member, now int64, fx *effects) {
	m.laneAt = now + int64(laneIdle)
	s.drop(m.bulk, fx)
	m.bulk, m.laneAsked = nil, false
	fx.publish = true
}

// retire takes c out of its role; it is closed when nothing runs on it any more.
func (s *Set) retire(c *conn, fx *effects) {
	m := c.m
	c.open(false)
	c.retired, c.probeAt = true, 0
	c.probe(noProbe, 0)
	m.retired = append(m.retired, c)
	switch c {
	case m.conn:
		m.conn = nil
	case m.next:
		m.next = nil
	case m.bulk:
		m.bulk = nil
	}
	fx.publish = true
}

// drop closes c, on which nothing runs. It is not inlined: its copies made programs larger.
//
//go:noinline
func (s *Set) drop(c *conn, fx *effects) {
	if c != nil {
		c.open(false)
		c.stage = lost
		fx.closing = append(fx.closing, c)
	}
}

// Which work a verdict moves.
func sessions(p *Pick) bool { return p.Class == Session }
func movable(p *Pick) bool  { return p.Class == Session || p.Class == Read || p.Resumes }
func elsewhere(p *Pick) bool {
	return movable(p) && p.Pin == nil
}
func forConsensus(p *Pick) bool {
	return p.Class == Session || p.Class == Read && p.Consensus && p.Pin == nil
}
func everything(*Pick) bool { return true }

// Ended is why work was cancelled by its connection.
type Ended struct {
	Member *Member
	Moved  bool // it can begin again elsewhere at once; else its connection is dead
	Err    etcderr.Error
}

func (e *Ended) Error() string { return e.Err.Error() }

// moveOff ends the work on c that fits, so that it goes on elsewhere.
func (s *Set) moveOff(c *conn, fits func(*Pick) bool, fx *effects) {
	m, why := c.m, c.m.err
	if why == nil {
		why = errConnLost
	}
	c.end(fx, &Ended{m, true, etcderr.Error{ // in gRPC's words for a stream whose connection is taken away
		Status: codes.Unavailable, Cause: why,
		Reason: "transport is closing: moved off " + m.Name() + ": " + etcderr.Text(why),
	}}, fits)
}

// anew makes all work that can begin again do so, with another token.
func (s *Set) anew(fx *effects) {
	for _, m := range s.members {
		for _, c := range []*conn{m.conn, m.bulk} {
			if c != nil {
				c.end(fx, &Ended{m, true, etcderr.Error{
					Status: codes.Unavailable, Cause: errOldToken,
					Reason: "transport is closing: " + errOldToken.Error(),
				}}, movable)
			}
		}
	}
}

var errOldToken = errors.New("calls with the token are not answered, others are")

// lifeFor is for how long bytes prove that a stalled member is alive.
const lifeFor = 2 * time.Second

// others reports whether a member besides m could take calls. A stalled one counts while
// it shows life: in an election, say, all living members are stalled for a while.
func (s *Set) others(m *Member, now int64) bool {
	return slices.ContainsFunc(s.members, func(o *Member) bool {
		return o != m && o.ready() && (o.state == Healthy || time.Duration(now-o.conn.lastByte.Load()) < lifeFor)
	})
}

// sound reports whether a member besides m is healthy beyond doubt. Callers hold mu.
func (s *Set) sound(besides *Member) bool {
	now := s.now()
	return slices.ContainsFunc(s.members, func(o *Member) bool {
		return o != besides && o.ready() && o.state == Healthy && !o.conn.doubtful(now)
	})
}

const (
	probeBackoffBase = 250 * time.Millisecond
	probeBackoffMax  = 2 * time.Second
)

// backoff of probes and of dialling, after so many failures in a row.
func backoff(failures int) time.Duration {
	return min(probeBackoffBase<<min(max(failures-1, 0), 8), probeBackoffMax)
}

func (s *Set) startProbe(c *conn, kind probeKind, now int64, fx *effects) {
	m := c.m
	if c.probing != noProbe || c.stage != ready || now < c.probeAt {
		return
	}
	c.probe(kind, now)
	c.probeGen++
	c.early = kind == consensusProbe && m.state != Stalled && c.quorum.silence(now, s.floor.Load()) < m.silenceLimit()
	timeout := m.probeTimeout()
	switch {
	case kind == consensusProbe && m.state == Stalled:
		timeout = max(m.stallTimeout(), probeBackoffMax)
	case kind == consensusProbe:
		timeout = m.stallTimeout()
		if c.leaderlessAt > c.quorum.last.Load() && m.consensusTime() == 0 {
			timeout = limit(m.set.cfg.StallTimeout, m.trip.value.Load(), probeFactor, stallMin, stallMax)
		}
		if c.early {
			timeout += m.silenceLimit()
		}
	case c.retired:
		timeout = max(timeout, m.lenient(deadMin))
		m.witness = now
	}
	// A member that is cut off from the others lives. That it knows of no leader shows it sooner
	// than the end of its streams, which takes etcd three elections.
	leader := kind == aliveProbe && c == m.conn && now >= c.leaderAt &&
		(c.running(Session) > 0 || m.witness > c.lastByte.Load())
	fx.probes = append(fx.probes, probeOrder{c: c, kind: kind, gen: c.probeGen, timeout: timeout, leader: leader})
}

// startBeside makes a probe for life beside one for consensus, which may take ten seconds: a
// connection that falls silent meanwhile must be found out as soon as any other.
func (s *Set) startBeside(c *conn, now int64, fx *effects) {
	if c.probing != consensusProbe || c.beside || c.stage != ready || now < c.besideAt ||
		!c.early && c.quiet(now) < activeProbeAfter {
		return
	}
	c.beside = true
	c.asked.Store(now)
	fx.probes = append(fx.probes, probeOrder{c: c, kind: aliveProbe, timeout: c.m.probeTimeout(), beside: true})
}

// leadership is what a member says of its leader.
type leadership uint8

const (
	led        leadership = iota // it has one, or does not say
	leaderless                   // it has none
	noAnswer                     // it did not answer
)

// leaderAsked takes what a living member says of its leader. Where it knows of none it has to
// finish something, and the others are asked for a sign of life: its streams go there if it does
// not. One that was busy twice in a row is not asked again soon, since requests would gather there.
func (s *Set) leaderAsked(c *conn, l leadership, now int64) {
	if l == noAnswer {
		c.unsaid++
	} else {
		c.unsaid = 0
	}
	switch {
	case c.unsaid > 1:
		c.leaderAt, c.unsaid = now+int64(giveUpAfter), 0
	case l == leaderless && c == c.m.conn && c.leaderlessAt <= c.quorum.last.Load():
		c.leaderlessAt, c.probeAt = now, now
		s.callWitnesses(c.m, now)
	}
}

// probed takes the result of a probe. A probe of an earlier generation is void.
func (s *Set) probed(o probeOrder, err error, v verdict, took time.Duration, now int64, fx *effects) {
	c, m := o.c, o.c.m
	began := now - int64(took)
	if o.beside {
		c.beside, c.besideAt = false, now+int64(probeBackoffBase)
	} else if c.probing != o.kind || c.probeGen != o.gen {
		return
	}
	if c.stage != ready {
		return
	}
	if v == answered && !c.tracked.Load() {
		c.lastByte.Store(now)
	}
	if o.beside && c.probing == consensusProbe {
		c.asked.Store(0)
		if v == answered {
			m.trip.add(int64(took), now)
		}
		if v == answered || c.lastByte.Load() > began {
			return // it goes on
		}
	}
	c.probe(noProbe, now)
	if o.kind == consensusProbe {
		s.consensusProbed(c, err, v, took, now, fx)
		return
	}
	if v == answered {
		m.trip.add(int64(took), now)
	}
	if v == answered || c.lastByte.Load() > began { // bytes of any kind are life
		c.failures = 0
		c.probeAt = now + int64(probeBackoffBase)
		if c == m.next {
			s.admit(m, now, fx)
		} else if c.quorum.silence(now, s.floor.Load()) >= m.silenceLimit() {
			c.probeAt = now // alive, but does it finish calls?
		}
		return
	}
	c.failures++
	c.probeAt = now + int64(backoff(c.failures))
	switch {
	case c == m.conn && m.state != Ejected:
		s.eject(m, fmt.Errorf("no answer to a health check within %v", o.timeout), began, now, fx)
	case c == m.next: // no better than the one that it is to replace
		s.drop(c, fx)
		m.next = nil
		m.refusals++
		m.dialAt = now + int64(backoff(m.refusals))
	case c == m.bulk:
		s.retire(c, fx)
		s.moveOff(c, movable, fx)
	case c.retired && m.conn != nil && m.state != Ejected && m.conn.lastByte.Load() >= began:
		s.dead(
			c,
			fmt.Errorf("silent for %v while a newer connection answers", c.quiet(now).Round(time.Millisecond)),
			fx,
		)
	}
}

// eject: the connection in use is silent since asked, when a sign of life was asked for. Nothing is
// closed: it may speak again, and a second one is made beside it.
func (s *Set) eject(m *Member, why error, asked, now int64, fx *effects) {
	m.silentAt, m.dialAt, m.refusals = asked, now, 0
	m.conn.open(false)
	m.conn.shun()
	s.enter(m, Ejected, why, fx)
	s.redial(m, now, fx)
	// The owner of a watch or a renewal must know that nothing comes, also if there is no
	// other place yet.
	s.moveOff(m.conn, sessions, fx)
	if s.others(m, now) {
		s.moveOff(m.conn, elsewhere, fx)
	}
}

// redial makes the second connection of an ejected member when it is time.
func (s *Set) redial(m *Member, now int64, fx *effects) {
	if m.next == nil && now >= m.dialAt {
		m.next = s.dial(m, false, now, fx)
	}
}

// restore: the silent connection speaks again.
func (s *Set) restore(m *Member, now int64, fx *effects) {
	s.drop(m.next, fx)
	m.next, m.refusals = nil, 0
	m.conn.failures = 0
	m.conn.open(m.leftAt == 0)
	s.back(m, fx)
}

// admit: a fresh connection has answered. The silent one retires; what may begin again
// does so now.
func (s *Set) admit(m *Member, now int64, fx *effects) {
	fresh := m.next
	m.next, m.refusals = nil, 0
	if old := m.conn; old != nil {
		if len(s.members) == 1 { // elsewhere it would be answered
			m.cut(now)
		}
		s.retire(old, fx)
		s.moveOff(old, movable, fx)
	}
	m.conn = fresh
	fresh.open(m.leftAt == 0)
	s.back(m, fx)
}

func (s *Set) back(m *Member, fx *effects) {
	fx.publish = true
	if m.stalled {
		s.enter(m, Stalled, m.err, fx)
	} else {
		s.enter(m, Healthy, nil, fx)
		s.drainStalled(fx)
	}
}

// dead: nothing more will come from c.
func (s *Set) dead(c *conn, why error, fx *effects) {
	c.end(fx, &Ended{c.m, false, etcderr.Error{
		Status: codes.Unavailable, Cause: why, Reason: "the connection to " + c.m.Name() + " is dead: " + why.Error(),
	}}, everything)
	m := c.m
	s.drop(c, fx)
	m.retired = slices.DeleteFunc(m.retired, func(o *conn) bool { return o == c })
	if m.conn == c {
		m.conn = nil
	}
}

// stall: m is alive but does not finish calls.
func (s *Set) stall(m *Member, why error, now int64, fx *effects) {
	m.stalled = true
	if m.state == Ejected || m.state == Connecting {
		m.err = why
		return
	}
	if m.state != Stalled {
		m.stalledAt = now
		if c := m.conn; c != nil {
			c.failures, c.probeAt = 0, now+int64(probeBackoffBase)
			c.probe(noProbe, now)
		}
	}
	s.enter(m, Stalled, why, fx)
	s.drainStalled(fx)
}

func (s *Set) consensusProbed(c *conn, err error, v verdict, took time.Duration, now int64, fx *effects) {
	m := c.m
	if v == answered && agreed(err) {
		c.quorum.last.Store(now)
		c.begins.last.Store(now)
		m.agreed(int64(took), now)
		if now-m.sampled.Load() > int64(exploreAfter) {
			s.forgive(m, took, now)
		}
		c.failures = 0
		c.probeAt = now + int64(probeBackoffBase)
		if c.early {
			c.probeAt = now + int64(watchEvery)
		}
		s.recovered(m, fx)
		return
	}
	c.failures++
	if v == blocked || c != m.conn {
		c.probeAt = now + int64(backoff(c.failures))
		return // the connection is full, or broken: nothing is known about the member
	}
	if v != answered {
		err = errors.New("does not finish calls that need consensus")
	}
	failures := c.failures
	s.stall(m, err, now, fx)
	c.failures = max(failures, c.failures)
	c.probeAt = now + int64(backoff(c.failures))
}

// recovered: m has finished something that needs consensus.
func (s *Set) recovered(m *Member, fx *effects) {
	m.stalled = false
	if c := m.conn; c != nil && c.probing == consensusProbe { // it has its answer
		c.probe(noProbe, 0)
	}
	if m.state == Stalled {
		s.enter(m, Healthy, nil, fx)
		s.drainStalled(fx)
	}
}

// drainStalled moves work that would wait on stalled members to better ones, if there are any.
// Such moves are limited: what takes a cluster long may take as long on another member.
func (s *Set) drainStalled(fx *effects) {
	for _, m := range s.members {
		if m.state == Stalled && m.conn != nil && s.sound(m) {
			if m.conn.running(Session) == 0 || s.moves.take(s.now()) {
				s.moveOff(m.conn, forConsensus, fx)
				if m.bulk != nil {
					s.moveOff(m.bulk, forConsensus, fx)
				}
			}
		}
	}
}

// forgive lets a member that got no calls because it once was slow, in an election
// for instance, compete again: as fast as the fastest, unless the probe took
// longer. If it still is slow, the next call says so.
func (s *Set) forgive(m *Member, took time.Duration, now int64) {
	best := m.latency.Load()
	for _, o := range s.members {
		if l := o.latency.Load(); o.state == Healthy && l > 0 {
			best = min(best, l)
		}
	}
	m.latency.Store(max(best, int64(took)))
	m.sampled.Store(now)
}
