package lease

// Renewals, their answers, and the deadlines.
//
// A lease is reported lost when the server says so, or at its deadline. The
// deadline counts from the moment the last acknowledged renewal was handed to a
// stream, which is before the server can have handled it and restarted its own
// count. An answer that arrives after the deadline comes too late, whatever it
// says: the loss is reported instead.

import (
	"errors"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	// renewFraction: a renewal is sent when a third of the TTL has passed since the last
	// one, which leaves time for several tries; etcd's documentation advises the same.
	// It counts from the answer, because the gRPC proxy answers at the pace of its own
	// renewals: counting from the sending we would drift ahead of it and wait longer
	// and longer. But no later than latestPercent of the TTL after the sending, and, where
	// answers are slow, so early that there is time to find it late and be answered elsewhere;
	// of the time for that answer no more than a quarter of the TTL is allowed for.
	renewFraction  = 3
	latestPercent  = 50
	answerFraction = 4

	// Where answers are slow a renewal is sent earlier than that, by between a half and three
	// halves of what they usually take, at random and within bounds: behind the gRPC proxy, which
	// answers when its own renewals are due, none is to come just after one of those. The bounds
	// are a tenth of the interval and maxSpread; behind the proxy a renewal waits as much longer,
	// so it is below maxPatience.
	spreadFraction = 10
	maxSpread      = 500 * time.Millisecond

	// Renewals go out together: at whole multiples of an eighteenth of the TTL, the nearest, but
	// none is delayed by more than maxDelay, nor where answers are slow. Thousands of messages then
	// travel in few packets.
	togetherFraction = 18
	maxDelay         = 500 * time.Millisecond

	// lossMargin: losses are reported this much before the TTL is over, because timers
	// fire late, never early, and a holder must learn of the loss in time.
	lossMargin = 10 * time.Millisecond

	// lateTimer: a timer that fires later than this was held up with the whole process,
	// and silence measured meanwhile says nothing about the server. It is above what a
	// loaded machine delays timers and below the shortest patience (333 ms, at the
	// server's minimum TTL of 2 s).
	lateTimer = 200 * time.Millisecond

	// maxStale answers in a row from an earlier term are more than a deposed leader gives
	// before it learns of its successor: each costs it a stream.
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

// enqueue makes l wait for a stream.
func (c *core) enqueue(l *lease) {
	l.state, l.on = queued, nil
	c.queue.push(l, l.deadline)
	c.setTimer(l, l.deadline)
	if c.row > 0 && !c.anyLive() { // the last stream failed, and the next is not there yet
		c.endanger(l)
	}
}

func (c *core) anyLive() bool {
	return slices.ContainsFunc(c.streams, func(st *stream) bool { return st.live })
}

// endanger notifies the keeps of l that its renewal is in trouble.
func (c *core) endanger(l *lease) {
	if !l.risk {
		l.risk = true
		c.do(action{kind: actAtRisk, l: l})
	}
}

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

// outdated reports whether an answer comes from an earlier raft term than others before.
// Then its member follows, or still is, a leader that was deposed and does not know it:
// such a one cannot find leases that its successor granted, and what it renews its
// successor may expire. After maxStale such answers in a row the terms are believed to
// have gone back: the cluster was restored.
func (c *core) outdated(resp *pb.LeaseKeepAliveResponse) bool {
	switch term := resp.GetHeader().GetRaftTerm(); {
	case term == 0: // it does not say
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
		return // not asked for, or answered before
	}
	c.answered(st)
	l := p.l
	if l.state == ended || p.sent >= l.sent { // otherwise it was slow where others were not
		c.habit.note(now, quiet)
	}
	switch {
	case l.state == ended: // and perhaps kept again since: that has a renewal of its own
	case resp.TTL <= 0:
		c.end(l, Expired, nil)
	case now >= l.deadline: // the timer has not come yet, but it is over
		if c.lapse(now, l) {
			c.noteLost(1)
		}
	case p.sent < l.sent: // one that was sent later has been acknowledged elsewhere
	default:
		l.ttl = seconds(resp.TTL)
		l.sent, l.slept = p.sent, p.slept
		granted := l.deadline
		l.deadline = c.heldFor(l)
		if now >= l.deadline && p.slept < c.slept { // it says nothing about what was since the sleep
			l.deadline = granted
			c.again(l, st)
			break
		}
		if now >= l.deadline { // the answer took longer than the TTL it brings
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

// again sees to it that l is renewed once more: st's answer did not count.
func (c *core) again(l *lease, st *stream) {
	if l.state == waiting || l.state == outstanding && l.on == st {
		c.enqueue(l)
	}
}

// acknowledge lets l wait for its next renewal, unless a later one is under way elsewhere, and
// closes streams that can say nothing new.
func (c *core) acknowledge(now time.Duration, l *lease, st *stream, sent time.Duration) {
	l.tries, l.risk = 0, false
	switch {
	case l.state == outstanding && l.on != st:
		c.setTimer(l, l.deadline)
	case l.state == queued:
		c.queue.remove(l)
		fallthrough
	default:
		l.state, l.on = waiting, nil
		c.setTimer(l, c.renewAt(now, l, sent))
	}
	if c.late > 0 {
		c.dropLate(now)
	}
}

// renewAt is when l is renewed next, having been answered now.
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
