package balancer

import (
	"fmt"
	"slices"
	"time"
)

const (
	// StreamProbeAfter bounds how long a quiet stream on a dead member goes
	// unnoticed (with a probe of 1 s: 2.5 s, so that watches deliver again within 3 s) at
	// one small probe per connection.
	StreamProbeAfter = 1500 * time.Millisecond
	// FirstConnect is how long a first connection attempt is waited for by
	// calls that fail fast, unless DialTimeout is set.
	FirstConnect = time.Second
	// activeProbeAfter: while calls are under way elsewhere, a member that nobody calls
	// is asked for a sign of life after so much silence, so that a dead one is not first
	// found by a write that is then lost on it.
	activeProbeAfter = time.Second
	// exploreAfter: a member that got no call for so long, because others are
	// faster, is measured by a probe.
	exploreAfter = 5 * time.Second
	// giveUpAfter ends what waits on a silent connection that cannot be proved dead.
	giveUpAfter = 30 * time.Second
	// stuckAfter: a connection is made anew when gRPC's attempt, which is given far less, has not
	// come back: a user's dialer may ignore its context.
	stuckAfter = 15 * time.Second
	// laneIdle: a lane without work is closed, one that could not be had is not tried.
	laneIdle = 10 * time.Second
	// linger is how long the connection of a member that leaves the endpoints is kept for its
	// return, and leaveAfter how long its streams are: endpoints that change all the time must not
	// keep streams moving.
	linger     = time.Second
	leaveAfter = 200 * time.Millisecond

	watchEvery = 50 * time.Millisecond  // while calls are under way
	watchSlow  = 100 * time.Millisecond // while something has to be retried
	// pauseSlack: a timer so late means that this process did not run.
	pauseSlack = 250 * time.Millisecond
)

// alarm is the earliest of several times; 0: none.
type alarm time.Duration

// in makes the alarm one of d from now, if it is later. It is not inlined: its copies made programs
// larger.
//
//go:noinline
func (a *alarm) in(d time.Duration) {
	if d = max(d, 1); *a == 0 || d < time.Duration(*a) {
		*a = alarm(d)
	}
}

// tick looks at every member and returns when it wants to look again; 0 means
// when something happens.
func (s *Set) tick(now int64, fx *effects) time.Duration {
	if s.lastTick != 0 && s.expected != 0 && time.Duration(now-s.lastTick) > s.expected+pauseSlack {
		s.floor.Store(now) // we were paused, not they
	}
	s.lastTick = now
	var next alarm
	busy, recent := s.traffic(now)
	for _, m := range s.members {
		s.look(m, now, busy, recent, &next, fx)
	}
	s.leaving = slices.DeleteFunc(s.leaving, func(m *Member) bool {
		s.look(m, now, busy, recent, &next, fx)
		s.leave(m, now, &next, fx)
		return s.gone(m, now, &next, fx)
	})
	if s.holding.Load() {
		if now-s.released >= int64(watchEvery) ||
			!s.wide && !s.pausing(s.usable, now) && !s.prove(s.usable, nil) {
			s.released = now
			s.holding.Store(false) // before they pick again
			fx.publish = true
		}
		next.in(watchEvery)
	}
	fx.publish = fx.publish || s.wide == s.sound(nil)
	s.expected = time.Duration(next)
	return s.expected
}

// traffic reports whether calls are under way, and whether some were a moment ago.
func (s *Set) traffic(now int64) (busy, recent bool) {
	for _, m := range s.members {
		if c := m.conn; c != nil {
			calls := &c.calls
			busy = busy || calls.n.Load() > 0
			recent = recent ||
				calls.since.Load() != 0 && now-max(calls.last.Load(), calls.since.Load()) < int64(activeProbeAfter)
		}
	}
	return busy, busy || recent
}

// look makes m's connections, gives up those of no use, and probes.
func (s *Set) look(m *Member, now int64, busy, recent bool, next *alarm, fx *effects) {
	c := m.conn
	switch {
	case m.state == Ejected && c != nil && c.lastByte.Load() > m.silentAt:
		m.trip.add(now-m.silentAt, now)
		s.restore(m, now, fx)
	case m.state == Ejected:
		s.redial(m, now, fx)
		if c != nil && s.others(m, now) {
			s.moveOff(c, elsewhere, fx)
		}
		next.in(watchSlow)
	case c == nil && m.leftAt == 0 && s.online:
		if now >= m.dialAt {
			m.conn = s.dial(m, false, now, fx)
		} else {
			next.in(time.Duration(m.dialAt - now))
		}
	case c != nil && c.stage == dialing && now-c.dialled >= int64(stuckAfter):
		s.drop(c, fx)
		m.conn = s.dial(m, false, now, fx)
	case m.coming(now):
		next.in(s.cfg.FirstConnect - time.Duration(now-c.made))
	case m.state == Connecting:
		next.in(stuckAfter)
		fx.publish = fx.publish || c != nil && !c.overdue
		if c != nil {
			c.overdue = true
		}
	case m.state == Stalled && c != nil && c.quorum.last.Load() > m.stalledAt: // a call that waited was finished
		s.recovered(m, fx)
	}
	s.lookAtLane(m, now, next, fx)
	for _, c := range m.conns() {
		s.lookAt(c, now, busy, recent, next, fx)
	}
}

// lookAt probes one connection if that is due, and closes it if it is of no use.
func (s *Set) lookAt(c *conn, now int64, busy, recent bool, next *alarm, fx *effects) {
	m := c.m
	if c.retired && !c.busy() {
		s.drop(c, fx)
		m.retired = slices.DeleteFunc(m.retired, func(o *conn) bool { return o == c })
		return
	}
	if c.retired || c == m.conn && m.state == Ejected {
		if c.quiet(now) >= giveUpAfter {
			s.dead(c, fmt.Errorf("silent for %v", giveUpAfter), fx)
			return
		}
		next.in(watchSlow)
	}
	if asked := c.asked.Load(); c == m.conn && asked > c.lastByte.Load() &&
		time.Duration(now-asked) >= m.silenceLimit() {
		s.callWitnesses(m, asked)
	}
	if c.stage == ready {
		n := s.due(c, now, busy, recent, next)
		if n.kind != noProbe {
			s.startProbe(c, n.kind, now, fx)
		}
		if n.alive {
			s.startBeside(c, now, fx)
		}
	}
}

// callWitnesses asks the other members for a sign of life, because m has given none since then:
// work that leaves m must not go where there is none either.
func (s *Set) callWitnesses(m *Member, since int64) {
	for _, o := range s.members {
		if o != m {
			o.witness = max(o.witness, since)
		}
	}
}

// needs are the probes that a connection needs.
type needs struct {
	kind  probeKind
	alive bool // one for life, beside another perhaps
}

// add is not inlined: its copies made programs larger.
//
//go:noinline
func (n *needs) add(k probeKind, next *alarm) {
	next.in(watchSlow)
	n.alive = n.alive || k == aliveProbe
	if n.kind == noProbe {
		n.kind = k
	}
}

// due is the one place that says which probe a connection needs now, and otherwise when
// to look at it again. startProbe keeps to the pace.
func (s *Set) due(c *conn, now int64, busy, recent bool, next *alarm) (n needs) {
	m := c.m
	inUse := c == m.conn && m.state != Ejected
	quiet, limit := c.quiet(now), m.silenceLimit()
	floor := s.floor.Load()
	calls, begins := c.calls.n.Load() > 0, c.begins.silence(now, floor)
	if begins > 0 && begins < limit {
		next.in(limit - begins)
	}
	if calls {
		next.in(watchEvery)
	}
	after := func(d time.Duration) {
		if quiet >= d {
			n.add(aliveProbe, next)
		} else {
			next.in(d - quiet)
		}
	}
	switch {
	case c == m.next, c == m.conn && m.state == Ejected:
		n.add(aliveProbe, next)
	case inUse && m.state == Stalled:
		n.add(consensusProbe, next)
	case inUse && c.quorum.silence(now, floor) >= limit && quiet < limit:
		n.add(consensusProbe, next) // alive, as bytes show, but there is a call that it does not finish
	case inUse && begins >= limit && quiet < limit:
		n.add(consensusProbe, next) // or a stream that it does not answer, perhaps because of its token
	case inUse && begins >= limit:
		n.add(aliveProbe, next)
	case min(c.calls.silence(now, floor), quiet) >= limit:
		n.add(aliveProbe, next)
	case inUse && m.witness > c.lastByte.Load():
		n.add(aliveProbe, next)
	case inUse && c.leaderlessAt > c.quorum.last.Load():
		n.add(consensusProbe, next)
	}
	if waits := c.unmet(now); waits >= limit { // a stream that begins waits as a call does
		n.add(aliveProbe, next)
	} else if waits > 0 {
		next.in(limit - waits)
	}
	if c.running(Session)+c.running(Bulk) > 0 {
		after(s.cfg.StreamProbeAfter)
	}
	if inUse && m.leftAt == 0 && recent {
		after(activeProbeAfter)
		// Nobody calls it, because others are faster: is that still so?
		if !calls && busy && m.latency.Load() > 0 && now-m.sampled.Load() > int64(exploreAfter) {
			n.add(consensusProbe, next)
		}
	}
	if inUse && (s.holding.Load() || c.wanted.Load() && c.quorum.last.Load() == 0) {
		n.add(consensusProbe, next)
	}
	return n
}

// lookAtLane makes the lane when a pick asked for it and closes it when it is idle.
func (s *Set) lookAtLane(m *Member, now int64, next *alarm, fx *effects) {
	c := m.bulk
	if c == nil {
		if m.laneAsked && now >= m.laneAt && m.ready() {
			m.bulk = s.dial(m, true, now, fx)
			next.in(m.laneWait())
		}
		m.laneAsked = false
		return
	}
	idle := time.Duration(now - c.usedAt.Load())
	switch {
	case c.stage == dialing && now-c.made >= int64(m.laneWait()):
		s.withoutLane(m, now, fx)
	case c.stage == dialing:
		next.in(m.laneWait() - time.Duration(now-c.made))
	case c.busy() || m.laneAsked:
		m.laneAsked = false
		next.in(laneIdle)
	case idle >= laneIdle || m.leftAt != 0:
		s.retire(c, fx)
	default:
		next.in(laneIdle - idle)
	}
}

// leave moves streams off a member that left the endpoints and is not back soon.
func (s *Set) leave(m *Member, now int64, next *alarm, fx *effects) {
	if left := leaveAfter - time.Duration(now-m.leftAt); left > 0 {
		next.in(left)
		return
	}
	for _, c := range m.conns() {
		s.moveOff(c, sessions, fx)
	}
}

// gone closes what is left of a member that left the endpoints once its calls have
// ended, and reports that it may be forgotten.
func (s *Set) gone(m *Member, now int64, next *alarm, fx *effects) bool {
	list := m.conns()
	for _, c := range list {
		if c.busy() {
			next.in(watchSlow)
			return false
		}
	}
	if left := linger - time.Duration(now-m.leftAt); left > 0 {
		next.in(left)
		return false
	}
	for _, c := range list {
		s.drop(c, fx)
	}
	m.conn, m.next, m.bulk, m.retired = nil, nil, nil, nil
	return true
}
