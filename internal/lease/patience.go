package lease

// How long a renewal may stay without an answer before its stream counts as late.
//
// A late renewal is asked for on another stream, a member elsewhere preferred, while the late
// one is still listened to: it may be a long way off rather than dead, and its first answer
// tells how long the way is. So impatience costs a renewal too many and never the answer.
//
// The first patience is a sixth of the TTL, but no longer than a second: a server answers within
// milliseconds. Where answers have been slower lately (a long link, or the gRPC proxy, which
// answers when its own renewals are due, every half second) it is twice the slowest of them.
// Each time that a renewal is late its patience doubles. A third of the TTL is the limit: from
// the renewal in the first half of the TTL there is then time for another try.

import "time"

const (
	patienceFraction = 6
	maxPatience      = time.Second
	limitFraction    = 3

	// habitWindow is how long slow answers are remembered, at least; the first answer
	// after twice that time has made them forgotten. It spans several renewals of all
	// but very long leases.
	habitWindow = time.Minute
)

// habit knows the slowest answers of the present window and of the one before.
type habit struct {
	began     time.Duration // of the present window
	now, last time.Duration
}

// note records for how long a stream was quiet before an answer.
func (h *habit) note(now, quiet time.Duration) {
	if age := now - h.began; age >= habitWindow {
		h.last = h.now
		if age >= 2*habitWindow {
			h.last = 0
		}
		h.began, h.now = now, 0
	}
	h.now = max(h.now, quiet)
}

// slowest is how long an answer may well take.
func (h *habit) slowest() time.Duration { return max(h.now, h.last) }

// life is how long l lives after a renewal.
func (c *core) life(l *lease) time.Duration {
	if l.ttl == 0 {
		return c.firstAnswer
	}
	return l.ttl
}

// impatience is the shortest patience with l.
func (c *core) impatience(l *lease) time.Duration {
	return min(maxPatience, c.life(l)/patienceFraction)
}

// patience is how long a renewal of l may stay without an answer.
func (c *core) patience(l *lease) time.Duration {
	limit := c.life(l) / limitFraction
	usual := c.impatience(l)
	p := min(max(usual, 2*c.habit.slowest()), limit)
	for i := uint8(0); i < l.tries && p < limit; i++ {
		p = min(2*p, limit)
	}
	return p
}
