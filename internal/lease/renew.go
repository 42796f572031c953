package lease

// Renewals, their answers, and the deadlines.
//
// A lease is reported lost when the server reports it, or at its deadline. The deadline counts from
// the moment the last acknowledged renewal was handed to a stream, which is before the server can
// have handled it and restarted its own count. An answer after the deadline comes too late,
// whatever it says: the loss is reported instead.

import (
	"errors"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	// renewFraction: a renewal is sent when a third of the TTL has passed since the last one, which
	// leaves time for several tries; etcd's documentation advises the same. It counts from the
	// answer, because the gRPC proxy answers at the pace of its own renewals: if it counted from
	// the sending, it would drift ahead of the proxy and wait longer and longer. But a renewal is
	// sent no later than latestPercent of the TTL after the last one was sent. If answers are slow,
	// it is sent early enough to find it late and get an answer elsewhere; at most a quarter of the
	// TTL is reserved for that answer.
	renewFraction  = 3
	latestPercent  = 50
	answerFraction = 4

	// If answers are slow, a renewal is sent earlier than that, by between a half and three halves
	// of their usual time, at random and within bounds. The gRPC proxy answers when its own
	// renewals are due, and no renewal should come just after one of those. The bounds are a tenth
	// of the interval and maxSpread; behind the proxy a renewal waits as much longer, so maxSpread
	// is below maxPatience.
	spreadFraction = 10
	maxSpread      = 500 * time.Millisecond

	// Renewals go out together, at the nearest whole multiple of an eighteenth of the TTL. None is
	// delayed by more than maxDelay, and none if answers are slow. Thousands of messages then
	// travel in few packets.
	togetherFraction = 18
	maxDelay         = 500 * time.Millisecond

	// hurry is how soon hasty leases are renewed after the end of a stream that worked, at most.
	hurry = 2 * time.Second

	// lossMargin: losses are reported this much before the TTL is over, because timers
	// fire late, never early, and a holder must learn of the loss in time.
	lossMargin = 10 * time.Millisecond

	// lateTimer: a timer that fires later than this was delayed with the whole process, and silence
	// measured meanwhile shows nothing about the server. It is longer than a loaded machine delays
	// timers, and shorter than the shortest patience (333 ms, at the server's minimum TTL of 2 s).
	lateTimer = 200 * time.Millisecond

	// maxStale answers in a row from an earlier term are more than a deposed leader gives before it
	// learns of its successor: each costs it a stream.
	maxStale = 8

	// maxSeconds bounds TTLs: 30 years is for ever, and sums of such durations do not
	// overflow as those of etcd's own maximum (9,000,000,000 s) would.
	maxSeconds = 1_000_000_000
)

var errOutdated = errors.New("the member follows a leader that was deposed")

// seconds turns a TTL of the wire into a duration.
func seconds(ttl int64) time.Duration {
	return time.Duration(min(max(ttl, 0), maxSeconds)) * time.Second
}

// hurry brings forward the next renewals of hasty leases, spread at random, since a server that
// ends takes the streams of many clients along.
func (c *core) hurry(now time.Duration) {
	for _, l := range c.leases {
		if at := now + time.Duration(c.jitter()*float64(hurry)); l.hasty && l.state == waiting &&
			at < c.timers.items[l.timer].at {
			c.setTimer(l, at)
		}
	}
}

// enqueue makes l wait for a stream.
func (c *core) enqueue(l *lease) {
	l.state, l.on = queued, nil
	at := l.deadline
	if l.denied > 0 {
		at = l.denied
	}
	c.line(l).push(l, at)
	c.setTimer(l, l.deadline)
	if c.row > 0 && !c.anyLive() { // the last stream failed, and the next is not open yet
		c.endanger(l)
	}
}

// requeue gives a queued lease the place of its new deadline.
func (c *core) requeue(l *lease) {
	if l.denied == 0 {
		c.line(l).fix(l, l.deadline)
	}
}

func (c *core) anyLive() bool {
	return slices.ContainsFunc(c.streams, func(st *stream) bool { return st.live })
}

// endanger notifies the keeps of l that its renewal is in trouble. It is not inlined for the reason
// of do.
//
//go:noinline
func (c *core) endanger(l *lease) {
	if !l.risk {
		l.risk = true
		c.do(action{kind: actAtRisk, l: l})
	}
}

// setTimer is not inlined for the reason of do.
//
//go:noinline
func (c *core) setTimer(l *lease, at time.Duration) {
	c.timers.fix(l, at)
}

// tick is an input: the timer fired.
func (c *core) tick(now time.Duration) {
	late := now-c.armed > lateTimer
	c.armed = never
	lapsed, lost := false, 0 // counted, for one line in the log
	for len(c.timers.items) > 0 && c.timers.items[0].at <= now {
		l := c.timers.items[0].l
		if l.deadline <= now {
			lapsed = true
			if c.lapse(now, l) {
				lost++
			}
		} else {
			c.enqueue(l)
		}
	}
	if lost > 0 {
		c.noteLost(lost)
	}
	if lapsed {
		c.lose(now)
	}
	c.checkStreams(now, late)
	c.finish(now)
}

// outdated reports whether an answer comes from an earlier raft term than others before. Then its
// member follows, or still is, a leader that was deposed and does not know it: it cannot find
// leases that its successor granted, and its successor may expire leases that it renews. After
// maxStale such answers in a row the terms are taken to have gone back, since the cluster was
// restored.
func (c *core) outdated(resp *pb.LeaseKeepAliveResponse) bool {
	switch term := resp.GetHeader().GetRaftTerm(); {
	case term == 0: // the answer has no term
		return false
	case term < c.term && c.stale < maxStale:
		c.stale++
		return true
	default:
		c.term, c.stale = term, 0
		return false
	}
}

// answer is an input: resp arrived on st.
func (c *core) answer(now time.Duration, st *stream, resp *pb.LeaseKeepAliveResponse) {
	if st.gone || resp == nil {
		return
	}
	if c.outdated(resp) {
		c.failed(now, st, errOutdated, Retry)
		return
	}
	p, quiet, ok := st.take(now, resp.ID)
	if !ok {
		return // not requested, or answered before
	}
	c.answered(st)
	l := p.l
	if l.state == ended || p.sent >= l.sent { // otherwise it was slow where others were not
		c.habit.note(now, quiet)
	}
	switch {
	case l.state == ended: // it may be kept again since: then it has a renewal of its own
	case resp.TTL <= 0:
		c.end(l, Expired, nil)
	case now >= l.deadline: // the timer has not fired yet, but the time is over
		if c.lapse(now, l) {
			c.noteLost(1)
		}
	case p.sent < l.sent: // a later renewal has been acknowledged elsewhere
	default:
		l.ttl = seconds(resp.TTL)
		l.sent, l.slept = p.sent, p.slept
		granted := l.deadline
		l.deadline = c.heldFor(l)
		if now >= l.deadline && p.slept < c.slept { // it shows nothing about the time since the sleep
			l.deadline = granted
			c.again(l, st)
			break
		}
		if now >= l.deadline { // the answer took longer than its own TTL
			if c.lapse(now, l) {
				c.noteLost(1)
			}
			break
		}
		c.acknowledge(now, l, st, p.sent)
		c.do(action{kind: actRenewed, l: l, resp: resp})
	}
	c.finish(now)
}

// again has l renewed once more, since st's answer did not count.
func (c *core) again(l *lease, st *stream) {
	if l.state == waiting || l.state == outstanding && l.on == st {
		c.enqueue(l)
	}
}

// acknowledge lets l wait for its next renewal, unless a later one is under way elsewhere, and
// closes streams whose answers would show nothing new.
func (c *core) acknowledge(now time.Duration, l *lease, st *stream, sent time.Duration) {
	c.unqueue(l)
	c.regained = c.regained || l.denied > 0
	l.tries, l.risk, l.denied, l.heard = 0, false, 0, now
	switch {
	case l.state == outstanding && (l.on != st || sent < l.asked):
		c.setTimer(l, l.deadline)
	default:
		l.state, l.on = waiting, nil
		c.setTimer(l, c.renewAt(now, l, sent))
	}
	if c.late > 0 {
		c.dropLate(now)
	}
}

// renewAt returns when l is renewed next if it is answered now.
func (c *core) renewAt(now time.Duration, l *lease, sent time.Duration) time.Duration {
	interval, slow := l.ttl/renewFraction, c.habit.usual()
	spread := min(interval/spreadFraction, maxSpread, slow)
	early := spread/2 + time.Duration(c.jitter()*float64(spread))
	last := min(sent+l.ttl/100*latestPercent, l.deadline-c.patience(l)-min(slow, l.ttl/answerFraction)) - early
	at, step := now+interval-early, l.ttl/togetherFraction
	if t := (at + max(0, min(step/2, maxDelay)-2*slow)) / step * step; t > now {
		at = t
	}
	return min(at, last)
}

func (c *core) noteLost(n int) {
	c.do(action{kind: actNote, note: "leases lost, no renewal was acknowledged in time", count: n})
}
