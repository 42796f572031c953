package watch

// Creates and their answers.
//
// The server answers creates in order, a failed one with id -1, so answers are matched in order. We
// choose the ids, from 1, and never reuse one on a stream; so creates can be pipelined. Servers
// before 3.4 and the gRPC proxy assign their own ids, and the proxy answers out of order. So the
// first create of a stream is sent alone, and the id in its answer shows which kind the server is.
//
// After a watcher was cancelled, an answer to its create and events may still arrive. Messages for
// ids without a watcher are ignored.

import (
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// numbering says who chooses the ids on a stream.
type numbering uint8

const (
	numbersUnknown numbering = iota // one create at a time until the first is answered
	numbersOurs                     // creates are pipelined
	numbersTheirs                   // one create at a time
)

// maxStrays bounds how many ids without a watcher a stream cancels. It is more than any confused
// server was seen to send, and keeps a hostile one from making us remember ids without end.
const maxStrays = 64

// create is one unanswered create request.
type create struct {
	_ [0]func() // not comparable, see balancer.conn

	id        int64
	w         *watcher // nil: nobody waits for it any more
	cancelled bool     // a cancel for id was sent after it
}

// flush sends as many waiting creates as the stream's numbering allows.
func (c *core) flush(now time.Time, st *stream) {
	g := st.g
	if st.unproved {
		return
	}
	idle := len(st.creates) == 0
	n := 0
	for n < len(g.waiting) && (st.numbering == numbersOurs || len(st.creates) == 0) {
		w := g.waiting[n]
		n++
		if w.g == g && w.state == statePending {
			c.sendCreate(st, w)
		}
	}
	if n == len(g.waiting) {
		clear(g.waiting)
		g.waiting = g.waiting[:0]
	} else {
		g.waiting = g.waiting[n:]
	}
	if idle && len(st.creates) > 0 {
		st.heard = now
		if at := now.Add(g.patience()); g.due[dueAnswer].IsZero() || at.Before(g.due[dueAnswer]) {
			g.due[dueAnswer] = at
			c.arm(g)
		}
	}
}

// answerWithin is how long a stream on which a create waits may be silent. Some servers never
// answer: a member that was restored from a backup, and gets a token from before, waits until it
// reaches the revision at which it issued the token. After each timeout the limit is doubled, up to
// answerDoubles times, since the link may be slow, until an answer has come within the first limit.
const (
	answerWithin  = 3 * time.Second
	answerDoubles = 4
)

func (g *group) patience() time.Duration { return answerWithin << g.unanswered }

// unanswered ends g's stream if it has not answered a create for too long.
func (c *core) unanswered(now time.Time, g *group) {
	st := g.st
	if st == nil || !st.live || len(st.creates) == 0 {
		return
	}
	if at := st.heard.Add(g.patience()); at.After(now) {
		g.due[dueAnswer] = at
		return
	}
	g.unanswered, g.suspect = min(g.unanswered+1, answerDoubles), true
	c.fail(now, st, errUnanswered, Retry, true)
}

func (c *core) sendCreate(st *stream, w *watcher) {
	w.state = stateCreating
	w.id = st.nextID
	st.nextID++
	start := c.startOf(st, w)
	if w.lowered = start < w.resume; w.lowered || !w.promised {
		w.floor = start
	}
	if w.anew && start > 1 {
		start--
		w.lowered = true // the event is below the floor
	}
	req := &pb.WatchCreateRequest{
		Key: w.key, RangeEnd: w.end, StartRevision: start, WatchId: w.id,
		// Progress notifications are always requested: they move the position of a watcher with
		// quiet keys past revisions that may be compacted before it has to resume.
		ProgressNotify: true,
		PrevKv:         w.want&wantPrevKV != 0,
		Fragment:       w.g.cut || w.want&wantCut != 0,
	}
	if w.want&wantNoPut != 0 {
		req.Filters = append(req.Filters, pb.WatchCreateRequest_NOPUT)
	}
	if w.want&wantNoDelete != 0 {
		req.Filters = append(req.Filters, pb.WatchCreateRequest_NODELETE)
	}
	st.creates = append(st.creates, create{id: w.id, w: w})
	c.send(st, w, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: req}})
}

func (c *core) sendCancel(st *stream, id int64) {
	if st.gone == nil {
		st.gone = map[int64]struct{}{}
	}
	st.gone[id] = struct{}{}
	c.send(st, nil, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{
		CancelRequest: &pb.WatchCancelRequest{WatchId: id}}})
}

// abandon gives up an unanswered create. While the server's numbering is not known
// the cancel has to wait for the answer.
func (c *core) abandon(st *stream, w *watcher) {
	i := w.id - st.creates[0].id // ids of unanswered creates follow each other
	st.creates[i].w = nil
	if st.numbering == numbersOurs {
		st.creates[i].cancelled = true
		c.sendCancel(st, w.id)
	}
}

// answer takes the create that resp answers; false if there is none, or if the
// answer broke the protocol and the stream with it.
func (c *core) answer(now time.Time, st *stream, resp *pb.WatchResponse) (create, bool) {
	if len(st.creates) == 0 {
		return create{}, false // it answers no create, or one that was answered
	}
	id, front := resp.WatchId, st.creates[0]
	switch {
	case id < 0 && resp.Canceled:
		// a failed create has no id: it is the oldest one
	case id < 0:
		c.violation(now, st, "watcher confirmed with a negative id")
		return create{}, false
	case st.numbering == numbersUnknown:
		st.numbering = numbersTheirs
		if id == front.id {
			st.numbering = numbersOurs
		}
	case st.numbering == numbersTheirs:
		if st.ids[id] != nil {
			return create{}, false // it was answered already
		}
	case id > front.id && id < st.nextID:
		c.violation(now, st, "answers to creates skipped or out of order")
		return create{}, false
	case id != front.id:
		return create{}, false // it answers no create, or one that was answered
	}
	st.creates[0] = create{}
	st.creates = st.creates[1:]
	return front, true
}

// created handles a response with Created set. cerr and v are the meaning of its cancel reason, if
// it has one.
func (c *core) created(now time.Time, st *stream, resp *pb.WatchResponse, cerr error, v Verdict) {
	p, ok := c.answer(now, st, resp)
	if !ok {
		return
	}
	w := p.w
	switch {
	case w == nil:
		if !resp.Canceled && !p.cancelled {
			c.sendCancel(st, resp.WatchId)
		}
		if !resp.Canceled {
			c.confirmedGood(st)
		}
	case resp.Canceled || resp.CompactRevision != 0:
		c.refused(now, st, w, resp, cerr, v)
	case c.canConfirm && otherCluster(resp.Header.GetClusterId(), w.cluster):
		// A check has shown that the cluster is the old one, so this member belongs to another.
		c.fail(now, st, errWrongCluster, Retry, true)
	case c.older(st, w, resp.Header.GetRaftTerm()):
		w.state = statePending
		c.sendCancel(st, resp.WatchId)
		c.await(now, st, w)
	default:
		c.accept(now, st, w, resp)
	}
	if st.g.st != st {
		return
	}
	c.flush(now, st)
	if st.g.progress && len(st.creates) == 0 {
		c.sendProgress(now, st, true)
	}
}

func (c *core) accept(now time.Time, st *stream, w *watcher, resp *pb.WatchResponse) {
	c.confirmedGood(st)
	w.state, w.anew = stateActive, false
	w.id = resp.WatchId
	st.ids[w.id] = w
	h := resp.Header
	if l := w.listing; l != nil {
		l.proof.of = w
		w.g.witness.listed(l.proof)
		w.noteListed(&l.proof)
		w.doubtful = w.doubtful && l.proved == st
		w.listing = nil
	}
	if st.apart {
		w.listing = &listing{proved: st}
	}
	w.created, w.asked = h.GetRevision(), st.requests.sent
	c.direct.Store(st.numbering == numbersOurs)
	switch g := w.g; {
	case !c.canConfirm:
	case st.numbering == numbersTheirs:
		c.beginLooks(now, g)
	case g.size > c.many && g.due[dueAsk].IsZero():
		g.due[dueAsk] = now.Add(askEvery)
		c.arm(g)
	}
	rev, cluster := h.GetRevision(), h.GetClusterId()
	if cluster == 0 {
		rev = 0 // the gRPC proxy's own answer: it repeats what was asked for
	}
	if w.cluster == 0 {
		w.cluster = cluster
	}
	switch {
	case w.resume == 0 && rev > 0:
		// "Now" was rev. The floor stays: a server may announce a revision that is a little newer
		// than the one at which its watcher starts, and still send the events in between.
		w.resume = rev + 1
		w.known = rev
	case w.resume > 0 && rev >= w.resume-1:
		// A caller that asks for the events after a revision has seen that revision, for instance
		// in a listing.
		w.known = max(w.known, w.resume-1)
	case rev == 0 && w.known == 0 && c.canConfirm && w.placing == placed:
		// The gRPC proxy answers without a revision when it has such a watch already. If
		// the stream broke before the first event, we would not know where to resume; so
		// read the revision. "Now" is when the Watch call returns, after that read.
		w.placing = unplaced
		c.check(now, w.g)
	}
	if !w.notNew {
		w.notNew = true
		if len(resp.Events) > 0 || resp.Fragment {
			resp = &pb.WatchResponse{Header: h, WatchId: resp.WatchId, Created: true}
		}
		c.offer(now, w, resp, nil, false)
	}
	if w.placing == placed {
		c.report(w)
	}
}

// refused handles the end of a watcher, or of its create, by the server.
func (c *core) refused(now time.Time, st *stream, w *watcher, resp *pb.WatchResponse, cerr error, v Verdict) {
	if w.state == stateActive {
		delete(st.ids, w.id)
	}
	if resp.CompactRevision != 0 && w.state == stateActive {
		// The server keeps the ended watcher. Since that watcher is behind, the server would answer
		// no progress request on this stream.
		c.sendCancel(st, w.id)
	}
	w.state = statePending // there is nothing to cancel any more
	c.clearPartial(w)
	switch {
	case resp.CompactRevision != 0 && w.lowered && (w.want&wantList == 0 || resp.CompactRevision < w.resume):
		w.anew = false
		w.unchecked(resp.CompactRevision)
		c.pend(now, w)
	case resp.CompactRevision != 0 || resp.CancelReason == "" || v == Fatal:
		c.finish(now, w, resp, cerr)
	case v == NoLeader:
		c.fail(now, st, cerr, NoLeader, true)
	default:
		// A stream keeps its token, which has expired: only another stream has a new one. The
		// member is not to blame.
		c.fail(now, st, cerr, Retry, false)
	}
}
