package lease

// The core: a state machine without clock, goroutines or I/O. Inputs are methods
// that take the time; what has to happen outside is appended to acts. The shell
// (engine.go) calls inputs and carries out acts under one lock, so the core knows
// no concurrency. Time is the time since the engine was made, by the monotonic
// clock.
//
// States of a lease:
//
//	          renewal is due             sent on a stream
//	waiting ─────────────────▶ queued ─────────────────────▶ outstanding
//	   ▲                        ▲  │                             │   │
//	   │                        └──┼─── the stream is late or ───┘   │
//	   │                           │    has failed                   │
//	   └───────────────────────────┴── acknowledged with a TTL ──────┘
//
// A late stream that is still listened to can acknowledge a queued lease.
//
// and from each of them to the end: expired, revoked, halted, cancelled, closed, or
// unrenewed when the deadline passes.
//
// All leases are in one heap by the time of their next event: the next renewal
// while waiting, the deadline otherwise. Queued ones are also in a second heap by
// deadline, so that after an outage the most urgent ones go first. Nothing ever
// goes through all leases, except their common end and the end of a stream that worked.
//
// The files: renew.go (deadlines, renewals and their answers), flow.go (streams,
// backoff), patience.go (when silence is a fault), sleep.go (suspended machines), heap.go,
// grants.go (TTLs known before the first renewal).

import (
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// lease is one kept lease. There may be many: keep it small.
type lease struct {
	_ [0]func() // not comparable, see balancer.conn

	id int64
	// ttl is the server's last one; 0: it has not answered yet.
	ttl time.Duration
	// deadline is when the lease must be considered lost: ttl after the sending of the last
	// acknowledged renewal (or grant), less lossMargin. For a lease of unknown TTL it is the end of
	// the wait for the first answer.
	deadline time.Duration
	// sent is when the last acknowledged renewal, or the grant, was sent; below zero: there is
	// none. slept is core.slept at that time.
	sent, slept time.Duration
	heard       time.Duration // when its last acknowledged renewal was answered
	asked       time.Duration // when its newest renewal was sent
	timer       int32         // index in core.timers
	queue       int32         // index in core.queue, core.doubt or core.apart; -1: not queued
	state       state
	tries       uint8         // streams that were late with a renewal since the last acknowledged one
	risk        bool          // the keeps have been notified that it is in danger, and not yet that it is out of danger
	hasty       bool          // a keep is hasty
	denied      time.Duration // when it was last denied since the last acknowledged renewal; 0: it was not
	on          *stream       // the stream where it is outstanding; nil in other states
	keeps       *keep         // those to notify; nil once ended
}

type state uint8

const (
	waiting state = iota
	queued
	outstanding
	ended
)

// keep is one KeepAlive call.
type keep struct {
	host     keepHost // the shell's part; the core never looks at it
	l        *lease
	next     *keep
	persists bool // it goes on after the deadline, until the server reports that the lease has ended
	hasty    bool // after the end of a stream that worked it wants a renewal soon
}

type actKind uint8

const (
	actOpen    actKind = iota // open a stream: st
	actSend                   // send a renewal of id on st
	actShut                   // cancel st's context
	actRenewed                // notify all keeps of l of resp
	actAtRisk                 // notify all keeps of l that it is in danger
	actEnded                  // notify k that it ended: reason, err
	actArm                    // tick at time at
	actNote                   // log
)

type action struct {
	_      [0]func() // not comparable, see balancer.conn
	kind   actKind
	reason Reason
	st     *stream
	l      *lease
	k      *keep
	id     int64
	at     time.Duration
	resp   *pb.LeaseKeepAliveResponse
	err    error
	note   string
	count  int
}

// never is later than all times.
const never = time.Duration(1<<63 - 1)

type core struct {
	firstAnswer time.Duration
	jitter      func() float64

	leases map[int64]*lease
	timers heap // all leases, by at
	queue  heap // the queued ones, by deadline
	doubt  heap // those of them that may be denied, while denied ones are looked for (denied.go)
	apart  heap // those that were denied, by denial (denied.go)
	grants grants

	habit    habit // the usual time of answers
	streams  []*stream
	late     int           // how many of them are late
	count    uint64        // how many were opened so far; used to name them
	avoid    []string      // members whose streams were late or failed since the last answer
	row      int           // failures since the last stream that lasted
	calm     bool          // the last of them was a silence that may be usual
	why      error         // the error of the last stream that failed since the last answer; nil: none
	fatals   int           // streams that ended with a fatal error since the last answer
	denial   error         // the error of the last denial
	search   int           // over how many streams renewals are spread to find denied leases; 0: none is looked for
	trust    time.Duration // what was answered later than this is not looked for there
	found    time.Duration // when the last one was
	barred   int           // streams that ended with one since the last answer
	trialAt  time.Duration // denied leases are not tried before this, unless one has regained its right
	regained bool          // a denied lease was renewed, and none denied since
	term     uint64        // raft's; the highest one of an answer, 0: unknown
	stale    int           // answers from earlier terms since the last one from this term
	retryAt  time.Duration // no stream is opened before this
	armed    time.Duration // when the shell's timer fires; never: it is not set
	empty    bool          // no leases were left when the last input ended
	closed   bool
	slept    time.Duration // the total time for which the machine was suspended, which times do not include

	acts []action
}

func newCore(firstAnswer time.Duration, jitter func() float64) *core {
	queued := func(l *lease) *int32 { return &l.queue }
	return &core{
		firstAnswer: firstAnswer, jitter: jitter, leases: map[int64]*lease{}, armed: never,
		timers: heap{place: func(l *lease) *int32 { return &l.timer }},
		queue:  heap{place: queued}, doubt: heap{place: queued}, apart: heap{place: queued},
	}
}

// do is not inlined: its copies made programs 4 KB larger.
//
//go:noinline
func (c *core) do(a action) { c.acts = append(c.acts, a) }

// keepAlive is an input: k needs the lease renewed, for the first time at once. If the lease was
// just renewed for others, k waits for a moment: nobody who has read an answer expects another
// within milliseconds.
func (c *core) keepAlive(now time.Duration, id int64, k *keep) {
	l, at := c.leases[id], now
	if l == nil {
		l = &lease{id: id, queue: -1, deadline: now + c.firstAnswer, sent: -1, slept: c.slept}
		if g, ok := c.grants.take(id); ok {
			if d := g.sent + g.ttl - lossMargin; d > now {
				l.ttl, l.deadline, l.sent, l.slept = g.ttl, d, g.sent, g.slept
			}
			// Otherwise only the server can say whether it still exists.
		}
		c.leases[id] = l
		c.timers.push(l, l.deadline)
	} else {
		at = l.heard + c.impatience(l)
	}
	k.l, k.next = l, l.keeps
	l.keeps = k
	l.hasty = l.hasty || k.hasty
	if l.state == waiting {
		if at > now {
			c.setTimer(l, min(at, c.timers.items[l.timer].at))
		} else {
			c.enqueue(l)
		}
	}
	c.finish(now)
}

// cancel is an input: the context of k ended.
func (c *core) cancel(now time.Duration, k *keep, err error) {
	l := k.l
	for p := &l.keeps; *p != nil; p = &(*p).next {
		if *p == k {
			*p = k.next
			c.do(action{kind: actEnded, k: k, reason: Cancelled, err: err})
			break
		}
	}
	if l.keeps == nil {
		c.remove(l)
	}
	c.finish(now)
}

// granted is an input: a lease was granted. The grant shows the round trip time before the first
// renewal does.
func (c *core) granted(now time.Duration, id int64, ttl, sent time.Duration, term uint64) {
	c.habit.note(now, now-sent)
	c.term = term // even if it is lower: only a leader can grant
	if c.leases[id] == nil && ttl > 0 {
		c.grants.put(id, grant{ttl: ttl, sent: sent, slept: c.slept})
	}
}

// revoked is an input: this client revoked the lease.
func (c *core) revoked(now time.Duration, id int64) {
	c.grants.take(id)
	if l := c.leases[id]; l != nil {
		c.end(l, Revoked, nil)
	}
	c.finish(now)
}

// close is an input: everything ends.
func (c *core) close(now time.Duration) {
	c.closed = true
	c.endAll(Closed, ErrClosed)
	for len(c.streams) > 0 {
		c.shut(c.streams[0])
	}
	c.finish(now)
}

// heldUntil returns the deadline of a lease that is kept and whose TTL is known.
func (c *core) heldUntil(id int64) (time.Duration, bool) {
	l := c.leases[id]
	if l == nil || l.ttl == 0 {
		return 0, false
	}
	return min(l.deadline, c.heldFor(l)), true
}

// end notifies every keep of l and forgets l.
func (c *core) end(l *lease, reason Reason, err error) {
	for k := l.keeps; k != nil; k = k.next {
		c.do(action{kind: actEnded, k: k, reason: reason, err: err})
	}
	l.keeps = nil
	c.remove(l)
}

// lapse treats l as lost at its deadline: all keeps end except those that persist. These go on as
// with a lease whose age is not known. It reports whether any keep has ended.
func (c *core) lapse(now time.Duration, l *lease) (lost bool) {
	for p := &l.keeps; *p != nil; {
		k := *p
		if k.persists {
			p = &k.next
			continue
		}
		lost, *p = true, k.next
		err := c.why
		if l.denied > 0 {
			err = c.denial
		}
		c.do(action{kind: actEnded, k: k, reason: Unrenewed, err: err})
	}
	if l.keeps == nil {
		c.remove(l)
		return lost
	}
	l.ttl, l.sent, l.slept, l.tries = 0, -1, c.slept, 0
	l.deadline = now + c.firstAnswer
	if l.state == queued {
		c.requeue(l)
		c.setTimer(l, l.deadline)
	} else {
		c.enqueue(l)
	}
	c.endanger(l)
	return lost
}

func (c *core) endAll(reason Reason, err error) {
	for len(c.timers.items) > 0 {
		c.end(c.timers.items[0].l, reason, err)
	}
}

// remove forgets l. Its outstanding renewals stay with their stream, since their answers have to be
// accounted for.
func (c *core) remove(l *lease) {
	if l.state == ended {
		return
	}
	c.unqueue(l)
	l.state, l.on = ended, nil
	c.timers.remove(l)
	delete(c.leases, l.id)
}

// finish is the end of every input: it sends the renewals that can be sent, and sets the timer for
// the next event. It moves the timer only to an earlier time; a timer that fires too early finds
// nothing to do and sets itself again.
func (c *core) finish(now time.Duration) {
	if !c.closed {
		c.dispatch(now)
	}
	at := never
	if len(c.timers.items) > 0 {
		at = min(c.timers.items[0].at, now+lookEvery)
	}
	if was := c.empty; len(c.leases) == 0 {
		c.empty = true
		for _, st := range c.streams {
			if !was && st.idleAt != never {
				st.idleAt = now + idleAfter
			}
		}
	} else {
		c.empty = false
	}
	at = min(at, c.nextForStreams(now))
	if at = max(at, now); at < c.armed { // never in the past, or the tick would seem late
		c.armed = at
		c.do(action{kind: actArm, at: at})
	}
}
