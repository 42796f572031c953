package balancer

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// Defaults of Config. They hold for clusters within a region: a member is
// expected to answer a trivial request within a second.
const (
	// SuspectAfter is far above a healthy answer (1 to 20 ms, a slow disk 100 ms),
	// and low enough that a call with a 1 s deadline can still go elsewhere.
	SuspectAfter = 200 * time.Millisecond
	// ProbeTimeout leaves room for a garbage collection or a slow disk: ejecting a
	// living member costs the outcome of the writes under way on it.
	ProbeTimeout = time.Second
	// StallAfter with the probe read's own time is about a second of a member
	// that answers probes but no calls.
	StallAfter = 500 * time.Millisecond
	// StallProbeTimeout is the time for the probe read.
	StallProbeTimeout = 500 * time.Millisecond
	// StreamProbeAfter bounds how long a quiet stream on a dead member goes
	// unnoticed (with ProbeTimeout: 2.5 s, so that watches deliver again within 3 s) at
	// one small probe per connection.
	StreamProbeAfter = 1500 * time.Millisecond
	// FirstConnect is how long a first connection attempt is waited for by
	// calls that fail fast, unless DialTimeout is set.
	FirstConnect = time.Second
	// ActiveProbeAfter: while calls are under way elsewhere, a member that nobody calls
	// is asked for a sign of life after so much silence, so that a dead one is not first
	// found by a write that is then lost on it.
	ActiveProbeAfter = time.Second
	// lifeFor is for how long bytes prove that a stalled member is alive.
	lifeFor = 2 * time.Second
	// replaceAfter: a silent last member gets a fresh connection.
	replaceAfter = 10 * time.Second
	// exploreAfter: a member that got no call for so long, because others are
	// faster, is measured by a probe.
	exploreAfter = 5 * time.Second
	// backoffs of probes and of dialling an ejected member again
	probeBackoffBase = 250 * time.Millisecond
	probeBackoffMax  = 2 * time.Second
	// flapTime: a connection that lived for less did not work.
	flapTime = time.Second
)

type probeKind uint8

const (
	noProbe probeKind = iota
	aliveProbe
	consensusProbe
)

// effects are what a transition wants done outside of the lock.
type effects struct {
	probes  []probeOrder
	closing []net.Conn
	connect []*Member
	moves   []move
	publish bool
	notes   []note
}

type probeOrder struct {
	m       *Member
	kind    probeKind
	gen     uint64
	timeout time.Duration
}

type move struct {
	s   *Stream
	err error
}

// note is one line for the log.
type note struct {
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
	fx.notes = append(fx.notes, note{m, m.state, to, m.err})
	m.state, m.since = to, s.wall()
	fx.publish = true
}

// connReady: gRPC has a working connection to m.
func (s *Set) connReady(m *Member, now int64, fx *effects) {
	m.ready, m.tried, m.wrong, m.explained = true, true, false, false
	m.lastByte.Store(now)
	m.readyAt = now
	if m.state == Ejected {
		s.startProbe(m, aliveProbe, now, fx)
		return
	}
	if m.stalled {
		// A fresh connection proves nothing about the cluster behind it.
		s.enter(m, Stalled, m.err, fx)
		s.startProbe(m, consensusProbe, now, fx)
		return
	}
	m.failures = 0
	s.enter(m, Healthy, nil, fx)
}

// connLost: the connection broke, or could not be made.
func (s *Set) connLost(m *Member, err error, now int64, fx *effects) {
	if m.ready {
		// A server that takes connections and drops them must not be dialled in a
		// tight loop; gRPC's own backoff counts only attempts that fail.
		if time.Duration(now-m.readyAt) < flapTime {
			m.flaps++
			m.connectAt = now + int64(s.backoff(m.flaps))
		} else {
			m.flaps = 0
		}
	}
	// A connection that worked is being made anew: calls that fail fast wait for that as for a
	// first one.
	m.tried = !m.ready || m.flaps > 1
	if !m.tried {
		m.firstTry = now
	}
	m.ready = false
	m.probing = noProbe
	m.conn = nil
	if m.explained {
		err = nil // m.err says it better
	}
	m.explained = false
	if m.state == Ejected {
		m.tried = true
		return // the reason of the ejection explains more
	}
	if err == nil && m.err == nil {
		err = errConnLost
	}
	s.enter(m, Connecting, err, fx)
	fx.publish = true
	// A server that is shutting down may keep its streams open for long.
	s.moveStreams(m, fx)
}

var errConnLost = errors.New("the connection was closed")

// others reports whether a member besides m could take calls. A stalled one counts while
// it shows life: in an election, say, all living members are stalled for a while, and a
// dead one must not hold the calls meanwhile.
func (s *Set) others(m *Member, now int64) bool {
	for _, o := range s.members {
		if o == m || !o.ready {
			continue
		}
		switch o.state {
		case Healthy, Suspect:
			return true
		case Stalled:
			if time.Duration(now-o.lastByte.Load()) < lifeFor {
				return true
			}
		}
	}
	return false
}

// healthyOthers reports whether calls and streams of m have a better place.
func (s *Set) healthyOthers(m *Member) bool {
	for _, o := range s.members {
		if o != m && o.ready && o.state == Healthy {
			return true
		}
	}
	return false
}

func (s *Set) startProbe(m *Member, kind probeKind, now int64, fx *effects) {
	if m.probing != noProbe || !m.ready || now < m.probeAt {
		return
	}
	m.probing = kind
	m.probeGen++
	timeout := s.cfg.ProbeTimeout
	if kind == consensusProbe {
		timeout = s.cfg.StallProbeTimeout
		if m.state == Stalled {
			timeout = probeBackoffMax
		}
	}
	fx.probes = append(fx.probes, probeOrder{m, kind, m.probeGen, timeout})
}

// probed takes the result of a probe. alive: the connection carried an answer.
// A probe of an earlier generation is void.
func (s *Set) probed(o probeOrder, err error, answered bool, took time.Duration, now int64, fx *effects) {
	m := o.m
	if m.probing != o.kind || m.probeGen != o.gen || m.removed {
		return
	}
	m.probing = noProbe
	if !m.ready {
		return // the broken connection has had its say
	}
	if o.kind == consensusProbe {
		s.consensusProbed(m, err, answered, took, now, fx)
		return
	}
	if answered || m.lastByte.Load() > now-int64(took) {
		m.failures = 0
		m.probeAt = now + int64(probeBackoffBase)
		switch {
		case m.state == Ejected && m.stalled:
			s.enter(m, Stalled, m.err, fx)
		case m.state == Suspect && m.consensus.silence(now, s.floor) >= s.cfg.SuspectAfter:
			// Alive, but does it finish calls?
			m.probeAt = now
			s.startProbe(m, consensusProbe, now, fx)
		case m.state == Suspect || m.state == Ejected:
			s.enter(m, Healthy, nil, fx)
		}
		return
	}
	m.failures++
	m.probeAt = now + int64(s.backoff(m.failures))
	why := fmt.Errorf("no answer to a health check within %v", o.timeout)
	if !s.others(m, now) && m.state != Ejected {
		m.err = why
		if time.Duration(now-m.lastByte.Load()) > replaceAfter {
			s.closeConn(m, fx)
		}
		return
	}
	s.eject(m, why, now, fx)
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

func (s *Set) backoff(failures int) time.Duration {
	d := probeBackoffBase
	for range min(failures-1, 8) {
		d *= 2
	}
	return min(d, probeBackoffMax)
}

func (s *Set) closeConn(m *Member, fx *effects) {
	if m.conn != nil {
		fx.closing = append(fx.closing, m.conn)
		m.conn = nil
	}
	s.moveStreams(m, fx)
}

func (s *Set) eject(m *Member, why error, now int64, fx *effects) {
	s.enter(m, Ejected, why, fx)
	m.ready = false
	m.connectAt = now + int64(s.backoff(m.failures))
	fx.publish = true
	s.closeConn(m, fx)
}

func (s *Set) moveStreams(m *Member, fx *effects) {
	why := m.err
	if why == nil {
		why = errConnLost
	}
	for st := range m.streams {
		// In gRPC's words for a stream whose connection is taken away.
		fx.moves = append(fx.moves, move{st, &etcderr.Error{
			Status: unavailable, Cause: why, Reason: "transport is closing: moved off " + m.Name() + ": " + etcderr.Text(why),
		}})
	}
	clear(m.streams)
}

// stall: m is alive but does not finish calls.
func (s *Set) stall(m *Member, why error, now int64, fx *effects) {
	m.stalled = true
	if m.state == Ejected || m.state == Connecting {
		m.err = why
		return
	}
	if m.state != Stalled {
		m.failures = 0
		m.stalledAt = now
		m.probeAt = now + int64(probeBackoffBase)
		if m.probing == aliveProbe {
			m.probing = noProbe
		}
	}
	s.enter(m, Stalled, why, fx)
	if s.healthyOthers(m) {
		s.moveStreams(m, fx)
	}
}

func (s *Set) consensusProbed(m *Member, err error, answered bool, took time.Duration, now int64, fx *effects) {
	bad := !answered
	if answered && err != nil {
		switch etcderr.ClassOf(err) {
		case etcderr.NoLeader, etcderr.NoQuorum, etcderr.Learner, etcderr.Ended, etcderr.Broken:
			bad = true
		}
	}
	if !bad {
		m.consensus.last.Store(now)
		if now-m.sampled.Load() > int64(exploreAfter) {
			s.forgive(m, took, now)
		}
		m.probeAt = now + int64(probeBackoffBase)
		s.recovered(m, fx)
		return
	}
	m.failures++
	if err == nil || !answered {
		err = errors.New("does not finish calls that need consensus")
	}
	s.stall(m, err, now, fx)
	m.probeAt = now + int64(s.backoff(m.failures))
}

// recovered: m has finished something that needs consensus.
func (s *Set) recovered(m *Member, fx *effects) {
	m.stalled = false
	m.failures = 0
	if m.probing == consensusProbe { // it has its answer
		m.probing = noProbe
	}
	if m.state == Stalled || m.state == Suspect {
		s.enter(m, Healthy, nil, fx)
		s.drainStalled(fx)
	}
}

// drainStalled moves the streams that had to stay on stalled members while all
// were stalled.
func (s *Set) drainStalled(fx *effects) {
	for _, m := range s.members {
		if m.state == Stalled && len(m.streams) > 0 && s.healthyOthers(m) {
			s.moveStreams(m, fx)
		}
	}
}

// tick looks at every member and returns when it wants to look again; 0 means
// when something happens.
func (s *Set) tick(now int64, fx *effects) (next time.Duration) {
	want := func(d time.Duration) {
		if d > 0 && (next == 0 || d < next) {
			next = d
		}
	}
	if s.lastTick != 0 && s.expected != 0 && time.Duration(now-s.lastTick) > s.expected+pauseSlack {
		s.floor = now // we were paused, not they
	}
	s.lastTick = now
	for _, m := range s.members {
		if left := s.cfg.FirstConnect - time.Duration(now-m.firstTry); !m.tried && left > 0 {
			want(left)
		} else if !m.tried {
			m.tried, fx.publish = true, true
			if m.err == nil {
				m.err = fmt.Errorf("no answer to a connection attempt for %v", s.cfg.FirstConnect)
			}
		}
		if m.connectAt != 0 && now >= m.connectAt {
			m.connectAt = 0
			fx.connect = append(fx.connect, m)
		} else if m.connectAt != 0 {
			want(time.Duration(m.connectAt - now))
		}
		if !m.ready {
			continue
		}
		quiet := time.Duration(now - max(m.lastByte.Load(), s.floor))
		switch m.state {
		case Healthy, Suspect:
			s.judgeSilence(m, quiet, now, fx)
		case Stalled:
			if m.consensus.last.Load() > m.stalledAt { // a call that waited was finished
				s.recovered(m, fx)
				break
			}
			s.startProbe(m, consensusProbe, now, fx)
			want(watchSlow)
		case Ejected:
			s.startProbe(m, aliveProbe, now, fx)
			want(watchSlow)
		}
		if m.calls.n.Load() > 0 || m.state == Suspect {
			want(watchEvery)
		}
		if m.state == Healthy && s.active(now) {
			if quiet >= ActiveProbeAfter {
				s.startProbe(m, aliveProbe, now, fx)
			}
			want(max(ActiveProbeAfter-quiet, watchSlow))
		}
		if len(m.streams) > 0 {
			if quiet >= s.cfg.StreamProbeAfter {
				s.startProbe(m, aliveProbe, now, fx)
			}
			want(max(s.cfg.StreamProbeAfter-quiet, watchSlow))
		}
	}
	s.expected = next
	return next
}

const (
	watchEvery = 50 * time.Millisecond  // while calls are under way
	watchSlow  = 100 * time.Millisecond // while something has to be retried
	// pauseSlack: a timer so late means that this process did not run.
	pauseSlack = 250 * time.Millisecond
)

func (s *Set) judgeSilence(m *Member, quiet time.Duration, now int64, fx *effects) {
	waiting := min(m.calls.silence(now, s.floor), quiet)
	stuck := m.consensus.silence(now, s.floor)
	if m.state == Suspect && waiting < s.cfg.SuspectAfter && stuck < s.cfg.SuspectAfter && m.probing == noProbe {
		s.enter(m, Healthy, nil, fx)
	}
	// Alive, as bytes have shown since, but there is a call that it does not finish.
	if stuck >= s.cfg.StallAfter && quiet < stuck {
		if m.state == Healthy && m.probing == noProbe && now >= m.probeAt {
			s.enter(m, Suspect, fmt.Errorf("calls that need consensus have waited for %v", stuck.Round(time.Millisecond)), fx)
		}
		s.startProbe(m, consensusProbe, now, fx)
		return
	}
	if waiting >= s.cfg.SuspectAfter {
		if m.state == Healthy && m.probing == noProbe && now >= m.probeAt {
			s.enter(m, Suspect, fmt.Errorf("silent for %v while calls wait", waiting.Round(time.Millisecond)), fx)
		}
		s.startProbe(m, aliveProbe, now, fx)
		return
	}
	// Nobody calls it, because others are faster: is that still so, and could it?
	if m.calls.n.Load() == 0 && m.latency.Load() > 0 && s.anyCalls() && now-m.sampled.Load() > int64(exploreAfter) {
		s.startProbe(m, consensusProbe, now, fx)
	}
}

// active reports that calls are being made, now or a moment ago.
func (s *Set) active(now int64) bool {
	for _, m := range s.members {
		if m.calls.n.Load() > 0 || now-max(m.calls.last.Load(), m.calls.since.Load()) < int64(ActiveProbeAfter) && m.calls.since.Load() != 0 {
			return true
		}
	}
	return false
}

func (s *Set) anyCalls() bool {
	for _, m := range s.members {
		if m.calls.n.Load() > 0 {
			return true
		}
	}
	return false
}
