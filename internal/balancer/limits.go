package balancer

import (
	"cmp"
	"sync/atomic"
	"time"
)

// Bounds of the limits that follow each member's own times; Config pins them.
const (
	// Silence: calls wait for a member and no byte comes. The lower bound is far above
	// a healthy answer within a region (1 to 20 ms, a slow disk 100 ms), and lets a call
	// with a deadline of 1 s still go elsewhere.
	silenceMin = 200 * time.Millisecond
	silenceMax = 3 * time.Second
	// Probe for life: room for a garbage collection or a slow disk.
	probeMin = time.Second
	probeMax = 10 * time.Second
	// Probe for consensus: with the silence before it about a second of a member that
	// answers health checks but no calls.
	stallMin = 500 * time.Millisecond
	stallMax = 10 * time.Second
	// The same before anything is known: members may be far apart.
	stallFirst = 2 * time.Second
	// Nothing is finished while calls wait: what is new is held back. Above the pauses of a garbage
	// collection and an ordinary disk; if it is wrong it costs a round trip.
	holdMin = 25 * time.Millisecond
	// Silent connections that are replaced count together if they are not further apart.
	cutMemory = time.Minute
	// A stream of much data waits for its lane, then it takes the connection in use.
	laneMin = 200 * time.Millisecond
	laneMax = time.Second
	// A connection is proved dead by so much silence beside a living one.
	deadMin = 2 * time.Second
)

// leap is how far one slow observation may raise the usual value if doubling it does not raise it
// further. So one pause takes no limit off its lower bound, and a slow link is learned within a few
// calls.
const leap = int64(silenceMin / silenceFactor)

// Limits are so many times what is usual.
const (
	silenceFactor = 3
	healthFactor  = 3 // a lost packet is sent again after about one more
	probeFactor   = 4
	laneFactor    = 10 // a handshake takes some round trips
)

// average follows a duration. What waited through the same pause is one observation
// of it, so that a pause with many calls under way does not pass for the usual.
type average struct {
	_ [0]func() // not comparable, see conn

	value atomic.Int64 // ns; 0: nothing known
	rose  atomic.Int64 // when a slow observation last counted
}

// add takes an observation of d that ended at now. Losing a race costs one observation.
func (a *average) add(d, now int64) {
	old := a.value.Load()
	switch {
	case old == 0:
		a.rose.Store(now)
		old = d
	case d <= old:
		old -= (old - d) / 8
	case now-d >= a.rose.Load():
		a.rose.Store(now)
		old += min((d-old)/4, max(old, leap-old))
	default:
		return
	}
	a.value.Store(max(old, 1))
}

func limit(pinned time.Duration, usual int64, factor, lowest, highest time.Duration) time.Duration {
	if pinned > 0 {
		return pinned
	}
	return min(max(factor*time.Duration(usual), lowest), highest)
}

// agreed notes that a call of m that needs consensus took d.
func (m *Member) agreed(d, now int64) {
	m.agree.add(d, now)
	m.set.agree.add(d, now)
}

// consensusTime is what such calls usually take; those of the other members are a first guess.
func (m *Member) consensusTime() int64 { return cmp.Or(m.agree.value.Load(), m.set.agree.value.Load()) }

// silenceLimit is how long calls wait without a byte before m is in doubt. It is not inlined: its
// copies made programs larger.
//
//go:noinline
func (m *Member) silenceLimit() time.Duration {
	return limit(
		m.set.cfg.SilenceLimit,
		max(m.trip.value.Load(), m.consensusTime()),
		silenceFactor,
		silenceMin,
		silenceMax,
	)
}

// holdAfter is how long calls of all members wait for consensus before changes are held back.
func (s *Set) holdAfter() time.Duration {
	usual, least := s.agree.value.Load(), holdMin
	if usual == 0 {
		least = silenceMin
	}
	return min(limit(0, usual, silenceFactor, least, silenceMax), cmp.Or(max(s.cfg.SilenceLimit, 0), silenceMax))
}

// probeTimeout is how long a health check may take.
func (m *Member) probeTimeout() time.Duration {
	t := limit(m.set.cfg.ProbeTimeout, m.trip.value.Load(), healthFactor, probeMin, probeMax)
	if m.set.cfg.ProbeTimeout > 0 {
		return t
	}
	return m.lenient(t)
}

// statusWait is how long a probe of so much time waits for a status: as long as calls do, and half
// of the time is left for the health check.
func (m *Member) statusWait(probe time.Duration) time.Duration { return min(m.silenceLimit(), probe/2) }

// laneWait is how long a lane may take to be made.
func (m *Member) laneWait() time.Duration {
	return limit(0, m.trip.value.Load(), laneFactor, laneMin, laneMax)
}

// cut notes that a fresh connection answers where one was silent.
func (m *Member) cut(now int64) {
	if now-m.cutAt >= int64(cutMemory) {
		m.cuts = 0
	}
	m.cuts, m.cutAt = m.cuts+1, now
}

// lenient doubles d for each cut but the first. One connection may break. If it happens again and
// again, the link is one that is silent for long times, and no call would ever end on it.
func (m *Member) lenient(d time.Duration) time.Duration {
	if m.cuts < 2 || m.set.now()-m.cutAt >= int64(cutMemory) {
		return d
	}
	return max(d, min(d<<min(m.cuts-1, 8), probeMax))
}

// stallTimeout is how long a read that needs consensus may take.
func (m *Member) stallTimeout() time.Duration {
	usual, least := m.consensusTime(), stallMin
	if usual == 0 {
		least = stallFirst
	}
	return limit(m.set.cfg.StallTimeout, usual, probeFactor, least, stallMax)
}

// allowance is a token bucket. (The library's would be one package more than the client's budget
// of packages allows.)
type allowance struct {
	most, left int
	every      time.Duration // for one to come back
	at         int64         // when left was counted
}

func (a *allowance) take(now int64) bool {
	if back := (now - a.at) / int64(a.every); back > 0 {
		a.left = int(min(int64(a.left)+back, int64(a.most)))
		a.at += back * int64(a.every)
	}
	if a.left == 0 {
		return false
	}
	a.left--
	return true
}
