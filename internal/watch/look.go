package watch

// Looks behind a proxy. etcd's gRPC proxy keeps our streams while it opens its own again, so a
// restored or wiped cluster breaks nothing here. The new history may have the terms of the old one
// (see term.go), and say nothing until it has overtaken the positions of watches; its events would
// then follow those of the old one. So on a stream whose server chooses the ids itself, as that
// proxy does, the group looks at the cluster every few seconds.
//
// What was delivered last may be of the new history already. So a look asks for the witness that
// the group had when the look before was sent: the mark. Nothing but a contradiction counts.
//
// A large value is not read each time: mostly its revisions and version have to do.
//
// A proxy may also stop to deliver for good: its own watches have the tokens of those who asked
// first, and end without a word when these are void. So if a key of the newest event has changed
// since, and for another look no event has come, the stream is given up. On the next one the
// watches begin one revision before their positions: the proxy joins those that begin where its own
// one stands, which is the one that has ended. While others at that proxy have theirs, it joins
// these too. So the group stays away for a while: other clients of ours see the same at about the
// same time, and once nobody has the proxy's watch that is gone.
//
// But a response may be large and the link slow, above all the first one after an outage, and to
// begin anew would lose what has come of it. So a stream that has never had everything gets more
// time, and so does each after one that was given up for nothing.

import (
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// lookEvery is how often a group looks: a look is one read, and for so long two clients may
// disagree about who has a lock.
const lookEvery = 2 * time.Second

const (
	// lookRate bounds how many bytes of values looks read in a second: a value of 16 KB is read
	// each time.
	lookRate = 8 << 10
	// newLooks are how many looks a stream that has never had everything may miss changes, and
	// mostDeaf how often the number of looks is doubled.
	newLooks = 16
	mostDeaf = 4
)

// awayFor is how long a group stays away from a proxy that does not deliver. Clients notice that
// within lookEvery of each other, and the time that a look takes.
const awayFor = 2*lookEvery + time.Second

// looks are those of one group.
type looks struct {
	_     [0]func() // not comparable, see balancer.conn
	under bool      // one has no answer yet
	turn  int       // the watcher whose key is read
	mark  *Check
	next  *Check // the mark after the one under way
	// Of the one under way: the revision of its mark, the highest that was known then, and whether
	// it shows changes.
	asked, known int64
	now          bool
	whole        time.Time // values are not read before this
	deaf         uint8     // how many streams were given up since the event of revision deafAt
	deafAt       int64
}

// errDeaf ends a stream that does not deliver what has changed.
var errDeaf = errors.New("watch: a key has changed, and the proxy does not say so")

// beginLooks is called when a watcher was confirmed or has got an event.
//
//go:noinline
func (c *core) beginLooks(now time.Time, g *group) {
	l := &g.looks
	if l.mark == nil {
		l.mark = g.witness.mark()
	}
	if !l.under && g.due[dueAsk].IsZero() {
		c.lookLater(now, g)
	}
}

// lookLater sets when g looks next.
//
//go:noinline
func (c *core) lookLater(now time.Time, g *group) {
	g.due[dueAsk] = now.Add(lookEvery)
	c.arm(g)
}

// mark is what a later look asks for; nil: there is nothing.
//
//go:noinline
func (k *witness) mark() *Check {
	if k.revision == 0 {
		return nil
	}
	q := k.question(nil)
	return &q
}

// look looks, if no other proof is under way.
func (c *core) look(now time.Time, st *stream) {
	g := st.g
	l := &g.looks
	if st.unproved || !st.guarded || g.checking || l.under {
		c.lookLater(now, g)
		return
	}
	a := action{kind: actConfirm, g: g, st: st, round: st.round, look: true}
	l.asked, l.known = 0, 0
	if l.mark != nil {
		a.check, l.asked = *l.mark, l.mark.Revision
		a.check.KeysOnly = l.keysOnly(now)
		of := g.witness.of
		a.check.Now = g.witness.revision == l.asked && a.check.Put() != nil &&
			of != nil && of.g == g && of.state == stateActive && of.unfiltered()
	}
	n := l.turn % g.size
	for w := g.first; w != nil; w = w.next {
		if n == 0 {
			a.check.Key = w.key
		}
		n--
		l.known = max(l.known, w.known)
	}
	l.under, l.next, l.now = true, g.witness.mark(), a.check.Now
	c.do(a)
}

// keysOnly reports whether it is not time to read values.
func (l *looks) keysOnly(now time.Time) bool {
	if now.Before(l.whole) {
		return true
	}
	l.whole = now
	for i := range l.mark.Changes {
		l.whole = l.whole.Add(time.Duration(l.mark.Changes[i].size) * (time.Second / lookRate))
	}
	return false
}

// looked is an input: the answer to a look on st in one of its rounds; v is the meaning of err.
func (c *core) looked(now time.Time, st *stream, round int, f Finding, err error, v Verdict) {
	g := st.g
	l := &g.looks
	l.under = false
	if v == Fatal { // the user may have lost the permission for these keys
		l.mark = nil
		l.turn++
	}
	if c.groups[g.name] != g || g.first == nil {
		return
	}
	c.lookLater(now, g)
	if err != nil || g.st != st || st.round != round || st.unproved {
		return
	}
	if l.asked > 0 && (f.Different || f.Revision < l.asked) {
		f.Different = true
		st.term, st.cluster = f.Term, f.ClusterID
		c.proved(now, st, f)
		return
	}
	if l.next != nil {
		l.mark = l.next
	}
	c.hear(now, st, &pb.ResponseHeader{ClusterId: f.ClusterID, RaftTerm: f.Term})
	switch {
	case st.round != round:
	case f.Revision < l.known:
		c.doubt(now, st, "behind a proxy the revision is lower than before: a stream has to prove its history")
	case !f.Changed || g.witness.revision != l.asked:
		st.missed = 0
		if l.now {
			st.even = true
		}
	case st.missed < l.patience(st):
		st.missed++
	default:
		l.deaf, l.deafAt = min(l.deaf+1, mostDeaf), l.asked
		for w := g.first; w != nil; w = w.next {
			w.anew = w.anew || w.state == stateActive
		}
		c.fail(now, st, errDeaf, Retry, true)
	}
}

// patience is how many looks in a row st may miss a change.
func (l *looks) patience(st *stream) int {
	if l.deafAt != l.asked {
		l.deaf = 0
	}
	n := 1
	if !st.even {
		n = newLooks
	}
	return n << l.deaf
}
