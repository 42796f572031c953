package lease

// Denied renewals. etcd refuses to renew a lease for a user who may not write one of its keys, and
// ends the stream. It handles a stream's renewals one by one, so the oldest one without an answer
// is the one that was refused. The others go on at once on another stream, and without that lease,
// which would end each stream again: it is tried apart, behind everything else on a stream, and
// nothing is sent behind it. So it costs the others nothing but the opening of a stream, and the
// lease lives on if the user gets the right back in time.
//
// Each stream finds one denied lease in a round trip, and what is behind it waits for another. So
// while there may be more of them, the leases that may be denied have streams of their own: those
// that were not renewed since the user's rights are known to be what they are. They are spread over
// as many streams as denied ones were found, over a long link over many at once, the most urgent at
// the heads.

import "time"

const (
	// maxSearch bounds the streams, beside maxStreams, on which denied leases are looked for. Far
	// away one more is opened for each searchShare leases that may be denied, and searchStep at
	// least.
	maxSearch   = 64
	searchShare = 8
	searchStep  = 8

	// minTrialWait is the least time between two trials, each of which costs a stream.
	minTrialWait = 50 * time.Millisecond
)

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
	if l.denied == 0 {
		c.lookFor(now, out)
	}
	was := l.state
	c.unqueue(l) // it may wait already, since it was late
	if l.denied, c.regained = max(now, 1), false; was == queued {
		c.enqueue(l)
	}
	return d
}

// lookFor looks for more leases that are denied like the first of out. If it was renewed since
// others were looked for, the user's rights have changed, and any lease may be denied.
func (c *core) lookFor(now time.Duration, out []pending) {
	was, changed := c.search, out[0].l.heard > c.trust
	if c.found = now; changed {
		c.trust = now
	}
	// The silence before an answer does not show how far it comes, if answers are dense.
	far := now-out[0].sent >= busyAfter
	if far {
		c.barred = 0 // the round trip was pause enough
	}
	if len(out) > 1 { // there may be more
		if c.search++; far { // there is no time for many round trips
			c.search += max(searchStep, len(c.leases)/searchShare)
		}
	}
	if c.search = min(c.search, maxSearch); c.search > 0 && (was == 0 || changed) {
		c.regroup()
	}
}

// regroup puts the queued renewals in their lines, and keeps others from the streams where some
// that may be denied are outstanding.
func (c *core) regroup() {
	all := append(c.queue.items, c.doubt.items...)
	c.queue.items, c.doubt.items = nil, nil
	for _, x := range all {
		c.line(x.l).push(x.l, x.at)
	}
	for _, st := range c.streams {
		st.doubt = c.search > 0
	}
}

// share returns how many of the renewals that may be denied a stream gets. The search ends when no
// denied one was found for a while, or when no further stream can be had.
func (c *core) share(now time.Duration) int {
	if c.search == 0 {
		return maxOutstanding
	}
	n, streams, slow := len(c.doubt.items), 0, false
	ends := now-c.found >= max(maxBacklog, 2*c.habit.usual())
	for _, st := range c.streams {
		switch {
		case !st.live:
			slow = slow || now >= st.began+busyAfter
			ends = ends || now >= st.began+openPatience
		case st.late || st.trial || !st.doubt && len(st.out) > 0:
		default:
			streams++
			n += len(st.out)
		}
	}
	switch {
	case ends:
		c.search = 0
		c.regroup()
		return maxOutstanding
	case streams < c.search && !slow:
		return 1 // the most urgent ones are not behind each other, but at the heads of those to come
	}
	return max(1, (n+c.search-1)/c.search)
}

// denial says what the end of a stream for lack of permission shows.
type denial uint8

const (
	unknown  denial = iota // whom it is about is not known
	repeated               // a lease was denied, not the first one
	first                  // no other lease is denied
)

// line returns the queue that l is in, or belongs to. It is not inlined for the reason of do.
//
//go:noinline
func (c *core) line(l *lease) *heap {
	switch {
	case l.denied > 0:
		return &c.apart
	case c.search > 0 && l.heard <= c.trust:
		return &c.doubt
	}
	return &c.queue
}

// unqueue removes l from its queue, if it is in one.
func (c *core) unqueue(l *lease) {
	if l.state == queued {
		c.line(l).remove(l)
	}
}

// trial sends a denied renewal, if it is time for that and no other one is under way: that which
// has waited for the greatest part of the time that it has left. Behind a refused one nothing is
// answered, so the others come along only once a trial has shown that a right is back. It reports
// whether a stream has to be opened for them.
func (c *core) trial(now time.Duration) (opens bool) {
	if !c.trialDue(now) {
		return false
	}
	st := c.pick(maxOutstanding, true)
	if st == nil {
		st = c.pick(maxOutstanding, false)
	}
	if st == nil {
		return true
	}
	var next *lease
	most, hourly := -1.0, time.Duration(0) // hourly is how many trials all of them need
	for _, x := range c.apart.items {
		left := max(x.l.deadline-now, lossMargin)
		if part := float64(now-x.l.denied) / float64(left); part > most {
			next, most = x.l, part
		}
		hourly += time.Hour / max(x.l.ttl/retryPortion, minRetryMax)
	}
	// Each is tried some twelve times before its time is over, if they are not too many.
	c.trialAt = now + min(max(time.Hour/max(hourly, 1), minTrialWait), maxRetryMax)
	for st.trial = true; next != nil; {
		c.send(now, st, next)
		next = nil
		if c.regained && len(c.apart.items) > 0 && len(st.out) < st.room() {
			next = c.apart.items[0].l
		}
	}
	return false
}

// trialDue reports whether denied leases are to be tried now.
func (c *core) trialDue(now time.Duration) bool {
	for _, st := range c.streams {
		if st.trial && !st.late {
			return false
		}
	}
	return len(c.apart.items) > 0 && (now >= c.trialAt || c.regained)
}
