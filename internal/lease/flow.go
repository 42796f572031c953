package lease

// Streams. The server handles a stream one renewal at a time and answers in order,
// and a follower forwards each to the leader. So a renewal behind many others has
// to wait although nothing is wrong, and one that gets stuck holds up all behind
// it. Therefore:
//   - what is outstanding on a stream is bounded, by what it answers in a quarter of a
//     second; the rest waits in the queue, the most urgent first, for whichever stream
//     has room. A stream that was full gets more when half of it is answered: one for
//     each answer would be a packet and two switches of goroutines each;
//   - when the backlog is worth more than a second, by the measured time per
//     answer, another stream is opened;
//   - silence counts from the last answer, or from the sending if that is later; for a
//     renewal that was passed over by answers to later ones, from then. When it has
//     lasted for longer than the patience (patience.go) the stream is late: everything
//     outstanding on it is sent again elsewhere, another member preferred, and nothing
//     new is sent on it. It is still listened to, as long as an answer from it could
//     say anything new: with one it is as good as any other again;
//   - what a stream that is not silent does not answer for a sixth of its TTL is sent on
//     it once more (repeat).
//
// A stream is opened when there is something to send, not before.

import (
	"math"
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/internal/backoff"
)

const (
	// How much may be outstanding on a stream: as much as it answers in maxAhead, by the
	// measured time per answer, so that an urgent renewal does not get stuck behind
	// others; at least minOutstanding to keep a stream busy whose time per answer is
	// mostly the way to and fro; newOutstanding before anything is measured. At most
	// maxOutstanding, to bound what has to be sent again when the stream fails; the gRPC
	// proxy, which may take half a second for each answer but gives many at a time,
	// does 2,000 renewals/s on a stream with that.
	maxAhead       = 250 * time.Millisecond
	minOutstanding = 16
	newOutstanding = 128
	maxOutstanding = 1024

	// maxStreams: eight streams at 1,000 renewals/s each renew 40,000 leases of TTL
	// 15 s, more than one etcd cluster is meant for.
	maxStreams = 8

	// maxLate bounds the late streams beside those: the number of members, so that each is tried
	// when the others are late.
	maxLate = 8

	// maxBacklog is how long the last renewal in the queue may have to wait before another stream
	// is opened: as long as a renewal may stay without an answer.
	maxBacklog = time.Second

	// busyAfter: a stream with more than this to do shares new renewals with others. It
	// is well below the shortest patience (333 ms).
	busyAfter = 100 * time.Millisecond

	// openPatience: while Open blocks for longer than this, another Open is tried beside it. Open
	// waits for a usable member, and may have chosen a dead one.
	openPatience = time.Second
	maxOpening   = 2

	// stableAfter is how long a stream must have lived, and answered, for its end to be
	// a new failure rather than one more of the same.
	stableAfter = time.Second

	// idleAfter is how long an unneeded stream is kept.
	idleAfter = 3 * time.Second

	// retryBase bounds the second wait between tries; the first try is immediate. The
	// longest wait is a twelfth of the most urgent TTL, so that there are many tries
	// before its deadline, but within these bounds.
	retryBase    = 10 * time.Millisecond
	minRetryMax  = 100 * time.Millisecond
	maxRetryMax  = time.Second
	retryPortion = 12

	// maxFatals: that many streams in a row that end with a fatal error, without an answer between
	// them, mean that the error is not about single leases. After as many denials, streams are
	// paced.
	maxFatals = 16

	avoidMax = 16 // bounds the list of members to avoid; clusters have 7 at most
)

// stream is one LeaseKeepAlive RPC.
type stream struct {
	host   streamHost
	seq    uint64
	avoid  []string
	live   bool
	gone   bool // not in core.streams any more
	late   bool // counted in core.late
	trial  bool // denied renewals are outstanding, and nothing is sent behind them
	doubt  bool // what is outstanding may be denied, and others are not sent behind it
	member string
	began  time.Duration // when it was requested; once live, when it was opened

	out     []pending     // sent and not answered, in order
	full    bool          // it gets no new renewals until it has answered half of its room
	last    time.Duration // the last answer
	since   time.Duration // silence does not count before this
	gap     time.Duration // smoothed time per answer while busy; 0: unknown
	checkAt time.Duration // when to check for silence, or for hope if it is late; never: nothing is outstanding
	idleAt  time.Duration // when it is closed if it is still not needed; never: it is needed
	good    bool          // it answered
}

type pending struct {
	l      *lease
	id     int64
	sent   time.Duration
	slept  time.Duration // core.slept at that time
	passed time.Duration // when a later one was first answered before this; 0: never
}

// take removes the oldest renewal of id, which has been answered, and measures it. A server answers
// in order, the gRPC proxy need not. It also returns how long the stream had been silent about it.
func (st *stream) take(now time.Duration, id int64) (pending, time.Duration, bool) {
	i := 0
	for i < len(st.out) && st.out[i].id != id {
		i++
	}
	if i == len(st.out) {
		return pending{}, 0, false
	}
	p := st.out[i]
	for j := range i {
		if st.out[j].passed == 0 {
			st.out[j].passed = now
		}
	}
	copy(st.out[1:], st.out[:i])
	st.out[0] = pending{}
	st.out = st.out[1:]
	quiet := now - st.from(p)
	st.measure(now - max(p.sent, st.last))
	st.last = now
	if len(st.out) <= st.room()/2 {
		st.full = false
	}
	if len(st.out) == 0 {
		st.trial = false
		st.checkAt = never
		st.idleAt = now + idleAfter
	}
	return p, quiet, true
}

// measure smooths the time per answer. It falls fast and rises slowly: a server that handles its
// renewals one by one shows the same time again and again, but if answers come in bursts, as from
// the proxy, or there is a lone renewal, only the short times show how many renewals the stream
// could handle.
func (st *stream) measure(took time.Duration) {
	took = max(took, time.Microsecond) // 0 means unknown
	switch {
	case st.gap == 0:
		st.gap = took
	case took < st.gap:
		st.gap -= (st.gap - took) / 4
	default:
		st.gap += min(took-st.gap, st.gap) / 16
	}
}

// from returns since when p has waited without a sign that its turn will come.
func (st *stream) from(p pending) time.Duration {
	if p.passed > 0 {
		return max(p.passed, st.since) // answers to others show nothing about p any more
	}
	return max(p.sent, st.last, st.since)
}

// room returns how much may be outstanding on the stream.
func (st *stream) room() int {
	if st.gap == 0 {
		return newOutstanding
	}
	return int(min(max(maxAhead/st.gap, minOutstanding), maxOutstanding))
}

// silentAt returns when the stream counts as silent unless an answer comes before, how long it will
// have been silent then, and the lease for which that is too long.
func (c *core) silentAt(st *stream) (at, patience time.Duration, l *lease) {
	at = never
	for _, p := range st.out {
		if d := c.patience(p.l); st.from(p)+d < at {
			at, patience, l = st.from(p)+d, d, p.l
		}
	}
	return at, patience, l
}

// nextForStreams returns when checkStreams or dispatch next has something to do.
func (c *core) nextForStreams(now time.Duration) time.Duration {
	at := never
	starved := (c.queued() > 0 || c.trialDue(now)) && len(c.streams)-c.late < maxStreams+c.search
	if starved && c.retryAt > now {
		at = c.retryAt
	}
	if len(c.apart.items) > 0 && c.trialAt > now {
		at = min(at, c.trialAt)
	}
	for _, st := range c.streams {
		at = min(at, st.checkAt)
		if !c.needed(st) {
			at = min(at, st.idleAt)
		}
		if hedge := st.began + openPatience; starved && !st.live && hedge > now {
			at = min(at, hedge)
			if slow := st.began + busyAfter; c.search > 0 && slow > now {
				at = min(at, slow)
			}
		}
	}
	return at
}

// needed reports whether st has to be kept.
func (c *core) needed(st *stream) bool {
	waits := c.queued()+len(c.apart.items) > 0
	return len(st.out) > 0 || !st.live && waits || len(c.leases) > 0 && len(c.streams)-c.late == 1
}

// dispatch sends queued renewals where there is room and opens streams as needed.
func (c *core) dispatch(now time.Duration) {
	share := c.share(now)
	c.assign(now, &c.queue, maxOutstanding)
	c.assign(now, &c.doubt, share)
	opens := c.trial(now) || c.queued() > 0
	for opens && now >= c.retryAt && len(c.streams)-c.late < maxStreams+c.search && c.wantsStream(now) {
		c.open(now)
	}
}

// queued returns how many renewals wait for a stream, those of denied leases apart.
func (c *core) queued() int { return len(c.queue.items) + len(c.doubt.items) }

// assign sends the renewals of h where there is room. No stream gets more of them than share.
func (c *core) assign(now time.Duration, h *heap, share int) {
	for len(h.items) > 0 {
		st := c.pick(share, h == &c.doubt)
		if st == nil {
			return
		}
		st.doubt = h == &c.doubt
		c.send(now, st, h.items[0].l)
	}
}

// pick returns the stream for the next renewal: the oldest one that is not busy, so
// that the others fall idle and close, else the one with the least to do; nil if
// all are full, or have their share. One that may be denied gets the one with the least to do,
// among streams that have no others.
func (c *core) pick(share int, doubt bool) *stream {
	var best *stream
	for _, st := range c.streams {
		switch n := len(st.out); {
		case !st.live || st.late || st.full || st.trial || n >= share || n > 0 && st.doubt != doubt:
		case n == 0 || !doubt && time.Duration(n)*st.gap < busyAfter:
			return st
		case best == nil || n < len(best.out):
			best = st
		}
	}
	return best
}

func (c *core) send(now time.Duration, st *stream, l *lease) {
	c.unqueue(l)
	l.state, l.on, l.asked = outstanding, st, now
	st.out = append(st.out, pending{l: l, id: l.id, sent: now, slept: c.slept})
	st.full = len(st.out) >= st.room()
	look := c.impatience(l)
	if l.tries > 0 {
		look = c.patience(l)
	}
	st.checkAt = min(st.checkAt, now+look)
	st.idleAt = never
	c.do(action{kind: actSend, st: st, id: l.id})
}

// repeat sends once more, on the same stream, what st has not answered for a sixth of its TTL
// although st is not silent, and returns when to do so next. The gRPC proxy answers all renewals of
// a lease when it has renewed it itself. The newest of them counts, so however late that is, the
// answer is not old.
func (c *core) repeat(now time.Duration, st *stream) time.Duration {
	next := never
	for _, p := range st.out {
		l := p.l
		if l.on != st || l.ttl == 0 || l.denied > 0 || p.sent < l.asked {
			continue
		}
		at := max(l.heard+l.ttl/renewFraction, p.sent+l.ttl/patienceFraction)
		switch {
		case at > now:
			next = min(next, at)
		case 2*len(st.out) < st.room(): // others need the rest
			c.send(now, st, l)
			next = min(next, now+l.ttl/patienceFraction)
		}
	}
	return next
}

// wantsStream reports whether the queue needs one more stream. While denied leases are looked for,
// many are opened at once: one after the other would take as long as a round trip, if each takes a
// few milliseconds.
func (c *core) wantsStream(now time.Duration) bool {
	var gaps time.Duration
	live, sent, opening, young, doubt := 0, 0, 0, 0, 0
	for _, st := range c.streams {
		switch {
		case !st.live:
			opening++
			if now < st.began+openPatience {
				young++
			}
		case st.late || st.trial:
		case st.doubt && len(st.out) > 0:
			doubt++
		default:
			live++
			sent += len(st.out)
			gaps += st.gap
		}
	}
	switch {
	case doubt+opening < c.search && opening < len(c.doubt.items) && (opening == 0 || c.barred < maxFatals):
		return true
	case young > 0 || opening >= maxOpening:
		return false // one is being opened
	case len(c.queue.items) == 0 && !c.trialDue(now):
		return false
	case live == 0:
		return true
	}
	each := gaps / time.Duration(live)
	backlog := time.Duration(len(c.queue.items)+sent) * each / time.Duration(live)
	return backlog > maxBacklog
}

func (c *core) open(now time.Duration) {
	c.count++
	st := &stream{seq: c.count, avoid: slices.Clone(c.avoid), began: now, checkAt: never, idleAt: now + idleAfter}
	c.streams = append(c.streams, st)
	c.do(action{kind: actOpen, st: st})
}

// opened is an input: Open returned a stream.
func (c *core) opened(now time.Duration, st *stream, member string) {
	if st.gone {
		return
	}
	st.live, st.member, st.began, st.last = true, member, now, now
	st.idleAt = now + idleAfter
	c.finish(now)
}

// answered notes that st works.
func (c *core) answered(st *stream) {
	c.fatals, c.barred, c.why = 0, 0, nil
	if st.late {
		st.late = false
		c.late--
		st.checkAt, _, _ = c.silentAt(st)
		c.row = 0
		c.forgive(st)
	}
	if st.good {
		return
	}
	st.good = true
	c.avoid = nil
}

// forgive takes st's member from those to avoid.
func (c *core) forgive(st *stream) {
	c.avoid = slices.DeleteFunc(c.avoid, func(m string) bool { return m == st.member })
}

// failed is an input: Open or the stream failed; v says what the error means.
func (c *core) failed(now time.Duration, st *stream, err error, v Verdict) {
	if st.gone {
		return
	}
	out := st.out
	c.why = err
	denied := unknown
	if v == Denied {
		denied = c.deny(now, out, st.live, err)
	}
	c.retire(now, st, v == Retry)
	switch {
	case v == Fatal:
		c.fatal(out, st.live, err)
	case denied == first || denied == unknown && c.row == 1: // an outage must not flood the log
		c.do(action{kind: actNote, st: st, err: err, note: "lease stream failed, its renewals move"})
	}
	switch {
	case denied != unknown:
		c.row-- // the rest can go on at once
		// A user who may renew none of thousands of leases must not have a server open streams
		// as fast as it can.
		if c.barred++; c.barred >= maxFatals {
			c.retryAt = now + time.Duration(c.jitter()*float64(2*retryBase))
		}
	case st.good && !st.trial:
		c.hurry(now)
	}
	if c.row > 1 {
		c.retryAt = now + c.wait()
	}
	c.finish(now)
}

// fatal ends the leases that a fatal error is about. On an open stream that can only be the renewal
// that the server was handling, the oldest; the others are sent again.
func (c *core) fatal(out []pending, live bool, err error) {
	c.fatals++
	switch {
	case !live || c.fatals >= maxFatals:
		c.endAll(Halted, err)
	case len(out) > 0 && out[0].l.state != ended:
		c.row-- // the rest can go on at once
		c.end(out[0].l, Halted, err)
	}
}

// retire takes a broken stream out of use, and queues its outstanding renewals again.
func (c *core) retire(now time.Duration, st *stream, blame bool) {
	c.shut(st)
	if c.row == 0 && !c.anyLive() { // later ones are notified when they are queued
		for _, h := range []*heap{&c.queue, &c.doubt} {
			for _, x := range h.items {
				c.endanger(x.l)
			}
		}
	}
	c.elsewhere(st, false, true)
	st.out = nil
	c.blame(now, st, blame)
}

// elsewhere queues again the renewals that are outstanding on st and not elsewhere.
func (c *core) elsewhere(st *stream, late, risky bool) {
	for _, p := range st.out {
		if p.l.on != st {
			continue
		}
		c.enqueue(p.l)
		if risky {
			c.endanger(p.l)
		}
		if late && p.l.tries < math.MaxUint8 {
			p.l.tries++
		}
	}
}

// blame counts a stream that failed or is late.
func (c *core) blame(now time.Duration, st *stream, avoid bool) {
	if st.good && now-st.began >= stableAfter {
		c.row = 0
	}
	c.row++
	if avoid && st.member != "" {
		// The latest is the last.
		c.forgive(st)
		if len(c.avoid) == avoidMax {
			c.avoid = c.avoid[1:]
		}
		c.avoid = append(c.avoid, st.member)
	}
}

func (c *core) shut(st *stream) {
	if st.late {
		st.late = false
		c.late--
	}
	st.gone = true
	if i := slices.Index(c.streams, st); i >= 0 {
		c.streams = slices.Delete(c.streams, i, i+1)
	}
	c.do(action{kind: actShut, st: st})
}

// wait draws the wait before the next try.
func (c *core) wait() time.Duration {
	longest := maxRetryMax
	for _, h := range []*heap{&c.queue, &c.doubt} {
		if len(h.items) > 0 && h.items[0].l.ttl > 0 {
			longest = min(longest, max(h.items[0].l.ttl/retryPortion, minRetryMax))
		}
	}
	ceiling := backoff.Policy{Base: retryBase, Max: longest}.Ceiling(c.row - 2)
	return time.Duration(c.jitter() * float64(ceiling))
}

// checkStreams closes streams that are silent or no longer needed. late: the process was paused, so
// silence counts from now.
func (c *core) checkStreams(now time.Duration, late bool) {
	for _, st := range c.present() {
		if late {
			st.since = now
		}
		if st.gone { // it was retired with another stream to the same member
			continue
		}
		if st.checkAt <= now && st.late {
			if st.checkAt = c.hopeUntil(st); st.checkAt <= now {
				c.shut(st)
				continue
			}
		} else if st.checkAt <= now {
			at, patience, l := c.silentAt(st)
			if at <= now {
				c.silent(now, st, patience, c.habitual(l))
				continue
			}
			st.checkAt = min(at, c.repeat(now, st))
		}
		if st.idleAt <= now && !c.needed(st) {
			c.shut(st)
		}
	}
}

// silent moves everything from a stream that does not answer, and from those to the same member
// that have been silent as long, since the renewals would otherwise land on one of them. It does
// not wait: the silence was a wait. If the silence may be usual, no keep is notified yet.
func (c *core) silent(now time.Duration, st *stream, patience time.Duration, habitual bool) {
	if !habitual && (c.row == 0 || c.calm || st.good && now-st.began >= stableAfter) {
		c.do(action{kind: actNote, st: st, note: "lease stream is silent, its renewals are sent elsewhere too"})
	}
	c.calm = habitual
	c.beLate(now, st, habitual)
	for _, other := range c.present() {
		if other.live && !other.late && other.member == st.member && now-max(other.last, other.since) >= patience {
			c.beLate(now, other, habitual)
			c.row--
		}
	}
	for c.late > maxLate {
		first := slices.IndexFunc(c.streams, func(st *stream) bool { return st.late })
		c.shut(c.streams[first])
	}
}

// lose ends the patience with silent streams after leases were lost: leases that are kept next do
// not use them.
func (c *core) lose(now time.Duration) {
	for _, st := range c.present() {
		if len(st.out) == 0 || st.late {
			continue
		}
		if l := st.out[0].l; l.tries > 0 || now-st.from(st.out[0]) >= c.impatience(l) {
			c.beLate(now, st, false)
		}
	}
}

// beLate makes st a stream that is only listened to.
func (c *core) beLate(now time.Duration, st *stream, habitual bool) {
	st.late = true
	c.late++
	c.elsewhere(st, true, !habitual)
	c.blame(now, st, true)
	if st.checkAt = c.hopeUntil(st); st.checkAt <= now {
		c.shut(st) // it is idle, or its answers would show nothing new
	}
}

// hopeUntil returns until when an answer on st could still keep a lease alive; 0: none could.
func (c *core) hopeUntil(st *stream) (at time.Duration) {
	for _, p := range st.out {
		if p.l.state != ended && p.sent >= p.l.sent {
			at = max(at, p.sent+c.life(p.l))
		}
	}
	return at
}

// present returns a copy of the streams, for loops that shut some of them. It is not inlined for
// the reason of do.
//
//go:noinline
func (c *core) present() []*stream { return slices.Clone(c.streams) }

// dropLate closes late streams whose answers would show nothing new.
func (c *core) dropLate(now time.Duration) {
	for _, st := range c.present() {
		if st.late && c.hopeUntil(st) <= now {
			c.shut(st)
		}
	}
}
