package lease

// How long a renewal may stay without an answer before its stream counts as silent.
//
// A sixth of the TTL, but no longer than a second: from the renewal at a third of the
// TTL there is then time for three more members before the deadline. A server
// answers within milliseconds. The gRPC proxy does not: it sends renewals every half
// second, and answers ours when its own are due. Moving away from it again and again
// would only make every renewal wait for the next half second. So where answers have
// been slow lately, the patience grows to twice the slowest, up to a quarter of the
// TTL and slowPatience; that still leaves time for two more tries.

import "time"

const (
	patienceFraction = 6
	maxPatience      = time.Second

	slowFraction = 4
	slowPatience = 2 * time.Second // the proxy takes a second and a bit at most

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

// patience is how long a renewal of l may stay without an answer.
func (c *core) patience(l *lease) time.Duration {
	if l.ttl == 0 {
		return maxPatience
	}
	usual := min(maxPatience, l.ttl/patienceFraction)
	slow := min(2*max(c.habit.now, c.habit.last), l.ttl/slowFraction, slowPatience)
	return max(usual, slow)
}
