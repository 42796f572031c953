package watch

// The core: a state machine without clock, goroutines or I/O. Every input is a method, which gets
// the time as an argument where time matters, and appends its actions to acts. The shell calls
// inputs and carries out acts under one lock, so the core has no concurrency.
//
// States of a group (the watchers that share one stream):
//
//	        watcher added               opened
//	(none) ───────────────▶ opening ───────────────▶ live
//	                         ▲  │ failed               │ broken
//	                 retry   │  ▼                      │
//	                 is due  waiting ◀─────────────────┘
//
// A group without watchers keeps its stream for idleAfter and is then forgotten.
//
// States of a watcher:
//
//	pending    no create on the present stream yet (or no stream)
//	creating   create sent, answer awaited
//	active     confirmed; events flow
//	parked     its queue was the longest when memory ran out; the server was asked
//	           to stop, and it becomes pending again when the queue has drained
//	ended      nothing more will be accepted; the last deliveries may be queued
//
// A broken stream turns creating and active into pending; the other states do not
// depend on the stream.
//
// The files: group.go (streams, backoff, members without a leader), create.go
// (creates and their answers), event.go (positions and dispatch), progress.go (who
// may believe an answer to a progress request), backlog.go (slow consumers),
// history.go (the proof that a stream continues the history), promise.go (what that cannot show),
// listing.go (those that have listed), term.go and look.go (streams whose servers are replaced).

import (
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

type state uint8

const (
	statePending state = iota
	stateCreating
	stateActive
	stateParked
	stateEnded
)

func (s state) String() string {
	return [...]string{"pending", "creating", "active", "parked", "ended"}[s]
}

// watcher is one user's watch. There are many and most are idle: keep it small.
type watcher struct {
	host host // the shell's part, which the core does not use

	g          *group
	prev, next *watcher // neighbours in g's list, in order of registration
	backlog    *backlog // nil while nothing waits for the consumer
	listing    *listing // its listing; nil if there is none, or once the watcher is confirmed
	own        *witness // its newest event, or what it has listed; nil: nothing yet

	key, end []byte

	// id on the present stream: the one asked for while creating, the server's once
	// active.
	id int64

	// resume is where the next create starts; 0 means "from now", which is only
	// possible before the first confirmation.
	resume int64
	// floor: events of lower revisions have been delivered, or were not asked for.
	floor int64
	// listed is the revision of its listing, 0 once an event was delivered.
	listed int64
	// known is the highest revision of the cluster that this watcher's responses have shown; 0: it
	// has no history yet. A cluster below it has another history.
	known int64
	// cluster is the id of the cluster that first confirmed the watcher; 0: unknown.
	cluster uint64
	// created is the revision of the present stream's confirmation, and asked how many
	// progress requests had been sent on it before; see progress.go.
	created int64
	asked   uint64

	state    state
	placing  placing
	want     wants
	answered bool // Watch knows that the watcher is confirmed or rejected
	notNew   bool // the created response has been delivered, or was not asked for
	dropped  bool // the consumer has gone: nothing more may be delivered
	barred   bool // not to be resumed on the present stream, which cannot prove the history
	promised bool // only a promise says that there is no event from floor to resume, see promise.go
	doubted  bool // its history is that of watchers that prove themselves
	doubtful bool // the promise may be of another history than the group's witness
	lowered  bool // its present create starts before resume, to check that
	anew     bool // its next create must not be joined with a proxy's own watch
}

// placing is the state of the search for a watcher's position: the watcher started "from now" and
// was confirmed without a revision, as the gRPC proxy does (create.go).
type placing uint8

const (
	placed    placing = iota // nothing to do
	unplaced                 // waits for the next read
	beingRead                // a read that covers it is under way
)

// wants are the user's options, packed.
type wants uint8

const (
	wantProgress wants = 1 << iota
	wantPrevKV
	wantWhole
	wantNoPut
	wantNoDelete
	wantLeader
	wantCut  // in fragments: see large in event.go
	wantList // ends rather than going on in doubt, since its user lists again
)

// actKind is the kind of an action of the shell.
type actKind uint8

const (
	actOpen    actKind = iota // open a stream: st
	actSend                   // send req on st
	actShut                   // cancel st's context
	actOffer                  // try to deliver resp, err to w; last: End it after that
	actPump                   // start delivering w's backlog
	actStop                   // w's consumer has gone: interrupt its pump if there is one, and End it
	actEnd                    // End w: its last delivery was taken
	actTell                   // let w's Watch call return
	actArm                    // tick g at time at; zero: not at all
	actConfirm                // ask the question check, for g; for w alone on st if w is set, for st if a member is
	actNote                   // log
)

type action struct {
	kind actKind
	last bool
	g    *group
	st   *stream
	w    *watcher
	req  *pb.WatchRequest
	resp *pb.WatchResponse
	err  error
	at   time.Time
	note string

	check Check
	look  bool // a look, see look.go
	round int  // of st, for w or a look
}

type core struct {
	limit      int64      // bytes that may wait for consumers
	large      int64      // bytes of a response from which on its watcher wants fragments
	members    func() int // nil: unknown
	canConfirm bool       // history can be proved, see history.go
	many       int        // watchers of a group that is not large, see progress.go
	jitter     func() float64

	groups   map[string]*group
	slow     []*watcher    // those with a backlog; order is of no meaning
	buffered int64         // bytes in all backlogs
	streams  uint64        // how many were opened so far; names them
	losses   atomic.Uint64 // watchers that have lost their history
	direct   atomic.Bool   // a member itself has confirmed the last watch, and no proxy
	closed   bool

	acts []action
}

func newCore(limit int64, members func() int, canConfirm bool, jitter func() float64) *core {
	return &core{
		limit:      limit,
		large:      largeResponse,
		members:    members,
		canConfirm: canConfirm,
		many:       notifiedTogether,
		jitter:     jitter,
		groups:     map[string]*group{},
	}
}

// do is not inlined: its copies made programs 16 KB larger.
//
//go:noinline
func (c *core) do(a action) { c.acts = append(c.acts, a) }

// act does what needs no more than these. Where it is called it takes less room than do.
//
//go:noinline
func (c *core) act(kind actKind, st *stream, w *watcher) {
	c.do(action{kind: kind, st: st, w: w})
}

// send sends req on st. w is the watcher that it creates, if it does.
//
//go:noinline
func (c *core) send(st *stream, w *watcher, req *pb.WatchRequest) {
	c.do(action{kind: actSend, st: st, w: w, req: req})
}

// note asks for a line in the log.
//
//go:noinline
func (c *core) note(st *stream, w *watcher, err error, text string) {
	c.do(action{kind: actNote, st: st, w: w, err: err, note: text})
}

// newWatcher makes a watcher for a request.
func newWatcher(r Request) *watcher {
	q := r.Create
	w := &watcher{
		key:    q.GetKey(),
		end:    q.GetRangeEnd(),
		resume: q.GetStartRevision(),
		floor:  q.GetStartRevision(),
		notNew: !r.CreatedNotify,
	}
	w.wants(q.GetProgressNotify(), wantProgress)
	w.wants(q.GetPrevKv(), wantPrevKV)
	w.wants(q.GetFragment(), wantWhole)
	w.wants(r.RequireLeader, wantLeader)
	if l := r.Listing; l != nil {
		w.wants(true, wantList)
		w.listing, w.known, w.cluster = newListing(l, w.key, w.end), l.Revision, l.ClusterID
		if l.newest != 0 && l.newest < w.resume {
			w.floor, w.listed = l.newest+1, l.Revision
			w.promised = w.floor < w.resume
			w.doubtful = true
		}
	}
	for _, f := range q.GetFilters() {
		w.wants(f == pb.WatchCreateRequest_NOPUT, wantNoPut)
		w.wants(f == pb.WatchCreateRequest_NODELETE, wantNoDelete)
	}
	return w
}

//go:noinline
func (w *watcher) wants(on bool, f wants) {
	if on {
		w.want |= f
	}
}

// add is an input: a new watcher in the named group.
func (c *core) add(now time.Time, name string, w *watcher) {
	g := c.groups[name]
	if g == nil {
		g = &group{name: name}
		c.groups[name] = g
	}
	g.link(w)
	if l := w.listing; l != nil {
		l.added = now
	}
	g.due[dueIdle] = time.Time{}
	c.pend(now, w)
	c.arm(g)
}

// cancel is an input: the watcher's context ended. Nothing more is delivered.
func (c *core) cancel(now time.Time, w *watcher) {
	if w.dropped {
		return
	}
	if w.state != stateEnded {
		c.leave(w)
		c.unlink(now, w)
	}
	c.drop(w)
}

// close is an input: all watchers end, all streams close.
func (c *core) close(now time.Time) {
	if c.closed {
		return
	}
	c.closed = true
	for _, g := range c.groups {
		for w := g.first; w != nil; w = g.first {
			c.cancel(now, w)
		}
		c.forget(g)
	}
	for len(c.slow) > 0 { // ended ones whose last deliveries wait for a consumer
		c.drop(c.slow[0])
	}
}

// drop drops all deliveries that wait for w's consumer.
func (c *core) drop(w *watcher) {
	w.dropped = true
	c.clearBacklog(w)
	c.report(w)
	c.act(actStop, nil, w)
}

// finish ends w from the server's side: resp and err are its last delivery, after those that wait
// already.
func (c *core) finish(now time.Time, w *watcher, resp *pb.WatchResponse, err error) {
	c.leave(w)
	c.unlink(now, w)
	last := &pb.WatchResponse{Canceled: true}
	if resp != nil {
		last.Header = resp.Header
		last.WatchId = resp.WatchId
		last.CompactRevision = resp.CompactRevision
		last.CancelReason = resp.CancelReason
	}
	c.report(w)
	c.offer(now, w, last, err, true)
}

// leave takes w off its stream: the server is asked to stop if it may be sending.
func (c *core) leave(w *watcher) {
	st := w.g.st
	switch w.state {
	case stateActive:
		delete(st.ids, w.id)
		c.sendCancel(st, w.id)
	case stateCreating:
		c.abandon(st, w)
	}
	c.clearPartial(w)
}

// unlink takes w out of its group for good.
func (c *core) unlink(now time.Time, w *watcher) {
	w.state = stateEnded
	g := w.g
	g.unlink(w)
	if g.first == nil && !c.closed {
		c.becomeIdle(now, g)
	}
}

// report lets the Watch call return, once.
//
//go:noinline
func (c *core) report(w *watcher) {
	if !w.answered {
		w.answered = true
		c.act(actTell, nil, w)
	}
}
