package watch

// A group and its stream: opening, breaking, backing off, going idle, and reports of members that
// they have no leader. See core.go for the states.

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/internal/backoff"
)

const (
	// retryBase and retryMax bound the wait between tries to open a stream. The first
	// try is immediate: most breaks concern one member and another one is ready. 10 ms
	// is above a round trip within a data centre; a second keeps the delay after a long
	// outage small, also if a stream chances upon the one member that is not back yet.
	retryBase = 10 * time.Millisecond
	retryMax  = time.Second
	// retryGood bounds the wait after a stream that confirmed a watcher: its member works, and the
	// next stream will probably work as well.
	retryGood = 500 * time.Millisecond

	// stableAfter is how long a stream must have lived, with a watcher confirmed, to
	// make its end a new failure rather than one more of the same. Without it a
	// member that accepts and drops streams would be called in a tight loop.
	stableAfter = time.Second

	// idleAfter is how long a stream without watchers is kept: longer than the pause
	// between two watches of a program that makes them one after the other.
	idleAfter = 3 * time.Second

	// avoidMax bounds the list of members to avoid; clusters have 7 members at most.
	avoidMax = 16
)

// errProtocol ends a stream whose peer violates the protocol of the Watch RPC.
var errProtocol = errors.New("watch: protocol violation")

// errUnanswered ends a stream on which a create is not answered.
var errUnanswered = errors.New("watch: the member does not answer that a watch begins")

// errWrongCluster ends a stream whose member belongs to another cluster.
var errWrongCluster = errors.New("watch: member of another cluster")

type dueKind uint8

const (
	dueRetry   dueKind = iota // open a stream
	dueIdle                   // close the stream without watchers
	dueConfirm                // repeat a check that failed
	dueLeader                 // leaderGrace is over
	dueAnswer                 // a create should have been answered
	dueAsk                    // ask for progress, or look
	dueKinds
)

type group struct {
	name        string
	host        groupHost
	first, tail *watcher
	size        int

	st      *stream    // the stream in use or being opened; nil while waiting
	waiting []*watcher // to be created when st allows; entries no longer pending are stale
	attempt int        // tries since the last stable stream
	avoid   []string   // members whose streams failed since the last good one

	noLeader      []string  // members that reported no leader since the last good stream
	noLeaderOther int       // such reports without a member's name
	noLeaderAll   bool      // no reachable member is left that might have one
	noLeaderSince time.Time // when the first came; zero: none
	noLeaderErr   error     // the last report
	unguarded     bool      // streams are opened without requiring a leader, see leader.go

	progress bool // a progress request awaits its answer
	cut      bool // a response was above the limit for messages: fragments are asked for

	unanswered uint8 // how often a create was not answered in time, up to answerDoubles
	suspect    bool  // a read has to show the fault, for instance an expired token

	looks    looks    // behind a proxy, see look.go
	term     uint64   // the raft term of the last good stream
	witness  witness  // the changes of the newest delivered revision
	checking bool     // a check is under way
	proves   *stream  // the stream that the check is to prove; nil: it only finds positions
	probes   *stream  // the unguarded stream that the check's success ends; nil: none
	asks     *watcher // the check reads this watcher's key

	due   [dueKinds]time.Time // when each kind is due; zero: not at all
	armed time.Time           // the time to which the shell's timer is set
}

// stream is one Watch RPC. It is dead as soon as its group refers to another one.
type stream struct {
	host     streamHost
	g        *group
	seq      uint64
	avoid    []string
	guarded  bool // its member must have a leader
	live     bool
	member   string
	openedAt time.Time
	// connected is when the connection to the member was made, zero if unknown.
	connected time.Time
	good      bool // it confirmed a watcher
	even      bool // it has sent events, or there were none to send
	missed    int  // by how many looks in a row, see look.go

	numbering numbering
	nextID    int64              // the id for the next create; never reused
	creates   []create           // sent and not answered, in order
	ids       map[int64]*watcher // active watchers by the server's id
	gone      map[int64]struct{} // cancelled by us, not acknowledged yet
	strays    int                // cancelled ids without a watcher
	heard     time.Time          // of its last message, or when it began to owe an answer
	unproved  bool               // no watcher is created before a check has proved the history
	apart     bool               // its history may differ from that of the group's watchers
	since     time.Time          // watchers that have listed later need no proof
	at        int64              // the cluster's revision at the proof
	round     int                // how often it was doubted (term.go)
	term      uint64             // the raft term of its last header, or of its proof; 0: none
	cluster   uint64             // and its cluster
	requests  requests           // for progress
	orders    uint64             // the id of its member, if the answers to them are in order
	asked     bool               // the member's version was asked for
}

func (g *group) link(w *watcher) {
	w.g = g
	w.prev = g.tail
	if g.tail != nil {
		g.tail.next = w
	} else {
		g.first = w
	}
	g.tail = w
	g.size++
}

func (g *group) unlink(w *watcher) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		g.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		g.tail = w.prev
	}
	w.prev, w.next = nil, nil
	g.size--
}

// arm sets the shell's timer to the earliest due time.
func (c *core) arm(g *group) {
	var at time.Time
	for _, t := range g.due {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if !at.Equal(g.armed) {
		g.armed = at
		c.do(action{kind: actArm, g: g, at: at})
	}
}

// tick is an input: the timer of g fired.
func (c *core) tick(now time.Time, g *group) {
	if c.groups[g.name] != g {
		return
	}
	g.armed = time.Time{}
	for k := range g.due {
		if at := g.due[k]; at.IsZero() || at.After(now) {
			continue
		}
		g.due[k] = time.Time{}
		switch dueKind(k) {
		case dueRetry:
			c.open(g)
		case dueIdle:
			c.forget(g)
			return
		case dueConfirm:
			c.vouchAgain(g)
			c.probe(now, g)
		case dueLeader:
			c.endLeaderless(now, g)
		case dueAnswer:
			c.unanswered(now, g)
		case dueAsk:
			c.ask(now, g)
		}
	}
	c.arm(g)
}

// pend makes w wait for a create, and opens a stream if there is none.
func (c *core) pend(now time.Time, w *watcher) {
	g := w.g
	w.state = statePending
	switch {
	case g.st == nil:
		if g.due[dueRetry].IsZero() {
			c.open(g)
		}
	case g.st.live:
		c.await(now, g.st, w)
		c.flush(now, g.st)
	}
}

func (c *core) open(g *group) {
	if g.st != nil || g.first == nil {
		return
	}
	c.streams++
	g.st = &stream{g: g, seq: c.streams, avoid: slices.Clone(g.avoid), guarded: !g.unguarded, nextID: 1}
	c.do(action{kind: actOpen, g: g, st: g.st})
}

// opened is an input: Open returned a stream. connected is when its connection was made, zero if
// that is unknown.
func (c *core) opened(now time.Time, st *stream, member string, connected time.Time) {
	g := st.g
	if g.st != st {
		return
	}
	st.live, st.member, st.openedAt, st.connected = true, member, now, connected
	st.ids = make(map[int64]*watcher, g.size)
	c.admit(now, st)
}

// admit queues the watchers that wait for st, and asks for the proof if it has to prove itself.
func (c *core) admit(now time.Time, st *stream) {
	g := st.g
	st.since = now
	g.waiting = g.waiting[:0]
	old := false
	for w := g.first; w != nil; w = w.next {
		proof := w.hasHistory() && c.canConfirm
		old = old || proof
		w.barred = proof && !st.guarded
		if w.state == statePending {
			c.await(now, st, w)
		}
		st.unproved = st.unproved || proof && st.guarded && w.listing == nil
	}
	st.apart = old && !st.guarded
	if !old {
		g.forgetWitness() // its watchers have gone
	}
	switch {
	case !st.guarded:
		c.watchForLeader(now, g)
		c.arm(g)
	case st.unproved || g.suspect:
		c.check(now, g)
		c.arm(g)
	}
	c.flush(now, st)
}

// broken is an input: Open or the stream failed, with what that error means.
func (c *core) broken(now time.Time, st *stream, err error, v Verdict) {
	if st.g.st != st {
		return
	}
	blame := v != TooLarge && v != Blameless
	switch {
	case v == Blameless:
		v = Retry
	case v == TooLarge && st.g.cut: // a single event is above the limit
		v = Fatal
	case v == TooLarge:
		v, st.g.cut = Retry, true
	}
	c.fail(now, st, err, v, blame)
}

// violation ends a stream whose peer violates the protocol. Its watchers resume on another one, so
// a confused server costs time but no events.
func (c *core) violation(now time.Time, st *stream, what string) {
	c.fail(now, st, fmt.Errorf("%w: %s", errProtocol, what), Retry, true)
}

// fail ends st. If blame is set, its member is avoided.
func (c *core) fail(now time.Time, st *stream, err error, v Verdict, blame bool) {
	g := st.g
	c.act(actShut, st, nil)
	g.st = nil
	clear(g.waiting)
	g.waiting = g.waiting[:0]
	if st.good {
		g.avoid, g.term = nil, st.term
		if now.Sub(st.openedAt) >= stableAfter {
			g.attempt = 0
		}
	}
	for w := g.first; w != nil; w = w.next {
		if w.state == stateCreating || w.state == stateActive {
			w.state = statePending
			c.clearPartial(w)
		}
		if l := w.listing; l != nil {
			l.failed = true
		}
	}
	if v == Fatal {
		for w := g.first; w != nil; w = g.first {
			c.finish(now, w, nil, err)
		}
		return
	}
	if blame && st.member != "" {
		// The latest last.
		g.avoid = slices.DeleteFunc(g.avoid, func(m string) bool { return m == st.member })
		if len(g.avoid) == avoidMax {
			g.avoid = g.avoid[1:]
		}
		g.avoid = append(g.avoid, st.member)
	}
	odd := errors.Is(err, errProtocol) || errors.Is(err, errWrongCluster)
	if g.attempt == 0 || odd {
		// Only the first ordinary failure of a row is logged, so that an outage does not flood the
		// log.
		c.note(st, nil, err, "watch stream ended, resuming its watchers")
	}
	if v == NoLeader {
		c.leaderless(now, g, st.member, err)
	}
	if g.first == nil {
		c.forget(g)
		return
	}
	switch {
	case err == errDeaf:
		g.due[dueRetry] = now.Add(awayFor)
	case g.attempt == 0, st.guarded == g.unguarded: // the other kind of stream is tried at once
		c.open(g)
	default:
		p := backoff.Policy{Base: retryBase, Max: retryMax}
		if st.good && !odd {
			p.Max = retryGood
		}
		ceiling := p.Ceiling(g.attempt - 1)
		g.due[dueRetry] = now.Add(time.Duration(c.jitter() * float64(ceiling)))
	}
	g.attempt++
	c.arm(g)
}

// confirmedGood notes that st confirmed a watcher.
func (c *core) confirmedGood(st *stream) {
	g := st.g
	if st.good {
		return
	}
	st.good = true
	if g.attempt > 1 {
		c.note(st, nil, nil, "watch stream is back")
	}
	if st.guarded {
		g.leaderFound()
		c.arm(g)
	}
}

// becomeIdle is called when the last watcher of g has left.
func (c *core) becomeIdle(now time.Time, g *group) {
	if g.st == nil || !g.st.guarded {
		c.forget(g)
		return
	}
	g.due = [dueKinds]time.Time{dueIdle: now.Add(idleAfter)}
	g.progress = false
	c.arm(g)
}

// forget removes a group without watchers, with its stream.
func (c *core) forget(g *group) {
	if c.groups[g.name] != g {
		return
	}
	if g.st != nil {
		c.act(actShut, g.st, nil)
		g.st = nil
	}
	delete(c.groups, g.name)
	g.due = [dueKinds]time.Time{}
	c.arm(g)
}
