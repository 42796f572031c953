package lease

// A machine that was suspended. On some systems the monotonic clock stands still meanwhile, so
// leases do not seem to age, while the server counts on. The wall clock shows the suspension; the
// shell compares it with the monotonic one (engine.go). The leases may be older than they seem by
// as much as the wall clock jumped ahead.
//
// But the clock may only have been set. So a jump alone loses no lease: HeldUntil counts it at
// once, and every lease is renewed at once. A lease is lost if that is not acknowledged within its
// patience, and if it would be over in case the jump was a sleep.

import "time"

const (
	// minSleep: a shorter jump of the wall clock is not a sleep; daemons that keep the time set it
	// ahead by some 100 ms. It is well below the server's minimum TTL of 2 s.
	minSleep = 500 * time.Millisecond

	// lookEvery is the longest time between two ticks of the shell's timer while leases are kept,
	// since timers also stand still in a machine that sleeps.
	lookEvery = time.Second
)

// sleeping is an input: the machine seems to have been suspended for length.
func (c *core) sleeping(now, length time.Duration) {
	c.slept += length
	for _, x := range append([]item(nil), c.timers.items...) {
		l := x.l
		if l.state == waiting {
			c.enqueue(l)
		}
		if l.ttl == 0 {
			continue // its deadline is for an answer, not its life
		}
		l.deadline = min(l.deadline, max(c.heldFor(l), now+c.patience(l)))
		if l.state == queued {
			c.requeue(l)
		}
		c.setTimer(l, l.deadline)
	}
	for _, st := range c.streams {
		st.since = now
	}
	c.finish(now)
}

// heldFor returns until when the server certainly keeps l, of known TTL.
func (c *core) heldFor(l *lease) time.Duration {
	return l.sent + l.ttl - lossMargin - (c.slept - l.slept)
}
