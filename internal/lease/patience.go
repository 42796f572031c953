package lease

// How long a renewal may stay without an answer before its stream counts as late.
//
// A late renewal is sent on another stream, if possible to another member, while the late stream is
// still listened to: the member may be far away rather than dead, and its first answer shows how
// far. So impatience costs an unnecessary renewal, but never the answer.
//
// The first patience is a sixth of the TTL, but no longer than a second: a server answers within
// milliseconds. If answers are usually slower (over a long link, or from the gRPC proxy, which
// answers when its own renewals are due, every half second), it is twice their time. The limit is a
// third of the TTL: after the renewal in the first half of the TTL there is then time for others.
// If answers take about as long as the limit (a link with a round trip of a second, and a TTL of 3
// s), reaching it is no sign of a fault: the renewal is sent elsewhere too, and only if that is
// late as well, the log gets a line and the lease is in danger.
//
// A renewal that was late once is soon sent again, and again: when a leader is frozen its followers
// are stuck behind it, each stream until the leader changes, and only requests after the election
// are answered. From the ninth try on the patience doubles each time.

import "time"

const (
	patienceFraction = 6
	maxPatience      = time.Second
	limitFraction    = 3

	// eagerTries are made an eighteenth of the TTL apart, maxPatience at most.
	eagerTries    = 8
	eagerFraction = 18

	// habitSamples is how many samples, each of habitSample at least, are remembered.
	habitSamples = 5
	habitSample  = time.Second
)

// habit is the recent time of answers. A single slow answer, in a fault, does not make a habit.
type habit struct {
	took [habitSamples]time.Duration // the slowest answer of each sample
	n, i int                         // the number of samples; the present one
	ends time.Duration               // when the next sample begins
}

// note records how long a stream was silent before an answer. It is not inlined for the reason of
// do.
//
//go:noinline
func (h *habit) note(now, quiet time.Duration) {
	if h.n == 0 || now >= h.ends {
		h.n, h.i = min(h.n+1, habitSamples), (h.i+1)%habitSamples
		h.took[h.i], h.ends = 0, now+habitSample
	}
	h.took[h.i] = max(h.took[h.i], quiet)
}

// usual returns how long an answer takes in most samples.
func (h *habit) usual() time.Duration {
	took := h.took // a sort of the samples at the end; a library's sort is 7 KB more
	for i := range took {
		for j := i; j > 0 && took[j] < took[j-1]; j-- {
			took[j], took[j-1] = took[j-1], took[j]
		}
	}
	return took[habitSamples-1-max(h.n-1, 0)/2]
}

// life returns how long l lives after a renewal. It is not inlined for the reason of do.
//
//go:noinline
func (c *core) life(l *lease) time.Duration {
	if l.ttl == 0 {
		return c.firstAnswer
	}
	return l.ttl
}

// impatience returns the shortest patience with l.
func (c *core) impatience(l *lease) time.Duration {
	return min(maxPatience, c.life(l)/patienceFraction)
}

// habitual reports whether a late renewal of l may just take the usual time.
func (c *core) habitual(l *lease) bool {
	return l.tries == 0 && c.patience(l) < 2*c.habit.usual()
}

// patience returns how long a renewal of l may stay without an answer.
func (c *core) patience(l *lease) time.Duration {
	life, usual := c.life(l), c.habit.usual()
	limit := life / limitFraction
	if l.tries == 0 {
		return min(max(c.impatience(l), 2*usual), limit)
	}
	p := min(max(min(maxPatience, life/eagerFraction), usual), limit)
	for i := eagerTries; i < int(l.tries) && p < limit; i++ {
		p = min(2*p, limit)
	}
	return p
}
