package lease

// Denied renewals. etcd refuses to renew a lease for a user who may not write one of its keys, and
// ends the stream. It handles a stream's renewals one by one, so the oldest one without an answer
// is the one that was refused. The others go on at once on another stream, and without that lease,
// which would end each stream again: it is tried apart, behind everything else on a stream, and
// nothing is sent behind it. So it costs the others nothing but the opening of a stream, and the
// lease lives on if the user gets the right back in time.
//
// Each stream finds one denied lease in a round trip. So those that wait are spread over as many
// streams as denied ones were found, over a long link over twice as many: then many are found in
// the time of a few round trips, and the others do not expire behind them.

import "time"

// deny notes which lease was denied when a stream ended, if that is known. out is what was
// outstanding on the stream.
func (c *core) deny(now time.Duration, out []pending, live bool, err error) denial {
	if !live || len(out) == 0 {
		return unknown
	}
	l, d := out[0].l, repeated
	if c.denial = err; l.state == ended {
		return d
	}
	if l.denied == 0 && len(c.apart.items) == 0 && c.search == 0 {
		d = first
	}
	if l.denied == 0 && len(out) > 1 {
		step := 1
		if c.habit.usual() >= busyAfter {
			step = 2 // there is no time for more round trips
		}
		c.search, c.found = min(c.search+step, maxSearch), now
	}
	was := l.state
	c.unqueue(l) // it may wait already, since it was late
	c.denials++
	if l.denied = c.denials; was == queued {
		c.enqueue(l)
	}
	return d
}

// share returns how many renewals a stream gets while denied leases are looked for. That ends when
// everything was answered, when none is found for a while, or when no further stream can be had.
func (c *core) share(now time.Duration) int {
	n := len(c.queue.items)
	for _, st := range c.streams {
		switch {
		case !st.live && now >= st.began+openPatience:
			c.search = 0
		case !st.late:
			n += len(st.out)
		}
	}
	if n == 0 || c.search == 0 || now-c.found >= max(maxBacklog, 2*c.habit.usual()) {
		c.search = 0
		return maxOutstanding
	}
	return (n + c.search - 1) / c.search
}

// denial says what the end of a stream for lack of permission shows.
type denial uint8

const (
	unknown  denial = iota // whom it is about is not known
	repeated               // a lease was denied, not the first one
	first                  // no other lease is denied
)

// line returns the queue that l is in, or belongs to.
func (c *core) line(l *lease) *heap {
	if l.denied > 0 {
		return &c.apart
	}
	return &c.queue
}

// unqueue removes l from its queue, if it is in one.
func (c *core) unqueue(l *lease) {
	if l.state == queued {
		c.line(l).remove(l)
	}
}

// trial sends the denied renewals, that with the oldest denial first, if it is time for that and
// none is under way. It reports whether a stream has to be opened for them.
func (c *core) trial(now time.Duration) (opens bool) {
	if !c.trialDue(now) {
		return false
	}
	st := c.pick(maxOutstanding)
	if st == nil {
		return true
	}
	first := c.apart.items[0].l
	for len(c.apart.items) > 0 && len(st.out) < st.room() {
		c.send(now, st, c.apart.items[0].l)
	}
	st.trial = true
	c.trialAt = now + trialWait(first)
	return false
}

// trialDue reports whether denied leases are to be tried now.
func (c *core) trialDue(now time.Duration) bool {
	for _, st := range c.streams {
		if st.trial && !st.late {
			return false
		}
	}
	return len(c.apart.items) > 0 && now >= c.trialAt
}

// trialWait is the time between two trials.
func trialWait(l *lease) time.Duration { return min(max(l.ttl/retryPortion, minRetryMax), maxRetryMax) }

// afterDenial paces the streams that follow many denials in a row: a user who may renew none of
// thousands of leases must not have a server open as many streams as fast as it can.
func (c *core) afterDenial(now time.Duration) {
	c.row-- // the rest can go on at once
	if c.barred++; c.barred >= maxFatals {
		c.retryAt = now + time.Duration(c.jitter()*float64(2*retryBase))
	}
}
