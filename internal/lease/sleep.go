package lease

// A machine that was suspended. The monotonic clock stands still meanwhile on some systems,
// and so do leases in its eyes, while the server counts on. It shows in the wall clock, which
// the shell compares with the monotonic one (engine.go): by as much as it jumped ahead the
// leases may be older than they seem.
//
// But somebody may only have set the clock. So nothing is lost by a jump alone: HeldUntil counts
// it at once, every lease is renewed at once, and what then is not acknowledged within its
// patience, and would be over if the jump was a sleep, is lost.

import (
	"slices"
	"time"
)

const (
	// minSleep: a jump of the wall clock by less is no sleep; daemons that keep the time set it
	// ahead by some 100 ms. It is well below the server's minimum TTL of 2 s.
	minSleep = 500 * time.Millisecond

	// lookEvery is how often the shell's timer fires at least while leases are kept, since timers
	// stand still too in a machine that sleeps.
	lookEvery = time.Second
)

// sleeping is an input: the machine seems to have been suspended for so long.
func (c *core) sleeping(now, length time.Duration) {
	c.slept += length
	for _, x := range slices.Clone(c.timers.items) {
		l := x.l
		if l.state == waiting {
			c.enqueue(l)
		}
		if l.ttl == 0 {
			continue // it has a time to answer, not to live
		}
		l.deadline = min(l.deadline, max(c.heldFor(l), now+c.patience(l)))
		if l.state == queued {
			c.queue.fix(l, l.deadline)
		}
		c.setTimer(l, l.deadline)
	}
	for _, st := range c.streams {
		st.since = now
	}
	c.finish(now)
}

// heldFor is until when the server certainly keeps l, of known TTL.
func (c *core) heldFor(l *lease) time.Duration {
	return l.sent + l.ttl - lossMargin - (c.slept - l.slept)
}
