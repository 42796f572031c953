package watch

// Dispatch of responses, and the position of each watcher.
//
// Fragments are requested only where they are needed. For each event that a server adds to a
// fragment it measures the whole fragment again. So a fragment of 2 MB with events of 100 B takes
// half a minute, in which the stream carries nothing else. Without fragments a response has one
// revision if the watcher is up to date, and up to 1,000 if it catches up. So a watcher requests
// fragments after a large response of several revisions with large events; a group does after a
// response above gRPC's limit for messages.
//
// A watcher's position is resume. A response may come in fragments that are cut anywhere, so the
// events of a fragment's last revision are held back until the rest of that revision has arrived.
// So each delivery ends with a whole revision, and resume is that revision + 1. Nothing has to be
// skipped after a resume, and at most one revision is held back, unless the user wants responses
// joined again.
//
// The position counts events in the consumer's queue as delivered: the queue survives a broken
// stream.

import (
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	// largeResponse is a hundred times the usual size of a response to a watcher that keeps up.
	largeResponse = 16 << 20
	// largeEvent: a fragment, of 2 MB by default, has at most a thousand of such events. The server
	// makes it in some 50 ms.
	largeEvent = 2 << 10
)

// response is an input: resp arrived on st. cerr and v are the meaning of its cancel reason, if it
// has one.
func (c *core) response(now time.Time, st *stream, resp *pb.WatchResponse, cerr error, v Verdict) {
	if st.g.st != st || !st.live || resp == nil {
		return
	}
	if resp.Created && now.Sub(st.heard) < answerWithin && len(st.g.waiting) == 0 {
		st.g.unanswered = 0 // it was not the link, nor a proxy that takes its time for many
	}
	st.heard = now
	if c.hear(now, st, resp.Header); st.g.st != st {
		return
	}
	if resp.Created {
		c.created(now, st, resp, cerr, v)
		if len(resp.Events) == 0 || resp.Canceled || st.g.st != st {
			return
		}
		resp = eventsOf(resp)
	}
	w := st.ids[resp.WatchId]
	switch {
	case w == nil:
		c.stray(now, st, resp)
	case resp.Canceled || resp.CompactRevision != 0:
		if len(resp.Events) > 0 {
			c.events(now, st, w, eventsOf(resp))
		}
		if st.g.st == st && w.state == stateActive {
			c.refused(now, st, w, resp, cerr, v)
		}
	case len(resp.Events) > 0 || resp.Fragment || w.partial() != nil:
		c.events(now, st, w, resp)
	default:
		c.progressOf(now, w, resp)
	}
}

// eventsOf returns resp with its events alone. Servers do not mix events with anything else.
//
//go:noinline
func eventsOf(resp *pb.WatchResponse) *pb.WatchResponse {
	return &pb.WatchResponse{Header: resp.Header, WatchId: resp.WatchId, Fragment: resp.Fragment, Events: resp.Events}
}

// stray handles a response for an id that no watcher has.
func (c *core) stray(now time.Time, st *stream, resp *pb.WatchResponse) {
	id := resp.WatchId
	switch {
	case resp.Canceled:
		delete(st.gone, id)
	case id == -1 && len(resp.Events) == 0 && !resp.Fragment && resp.CompactRevision == 0 &&
		resp.Header.GetRevision() > 0:
		c.progressAll(now, st, resp)
	case id < 0 || len(resp.Events) == 0:
	default:
		if _, known := st.gone[id]; known {
			return
		}
		if st.numbering == numbersOurs && len(st.creates) > 0 && id >= st.creates[0].id && id < st.nextID {
			c.violation(now, st, "events before the watcher was confirmed")
			return
		}
		if st.strays < maxStrays {
			st.strays++
			c.sendCancel(st, id)
			c.note(st, nil, nil, "server sends events for a watcher that nobody has")
		}
	}
}

// events handles a response with events, or a part of one.
func (c *core) events(now time.Time, st *stream, w *watcher, resp *pb.WatchResponse) {
	st.even = true
	evs := resp.Events
	if p := w.partial(); p != nil {
		evs = append(p, evs...)
		c.clearPartial(w)
	}
	evs = fresh(w, evs)
	if w.promised && len(evs) > 0 && revision(evs[0]) < w.resume {
		c.contradicted(now, w, resp.Header, revision(evs[0]))
		return
	}
	if resp.Fragment && len(evs) > 0 {
		n := 0
		if w.want&wantWhole == 0 {
			n = wholeRevisions(evs)
		}
		if !c.hold(w, evs[n:]) {
			c.violation(now, st, "a response that does not end")
			return
		}
		evs = evs[:n]
	}
	if len(evs) == 0 {
		return
	}
	out := resp
	if len(evs) != len(resp.Events) || resp.Fragment || evs[0] != resp.Events[0] {
		out = &pb.WatchResponse{Header: resp.Header, WatchId: resp.WatchId, Events: evs}
	}
	last := revision(evs[len(evs)-1])
	w.known = max(w.known, last)
	w.resume, w.floor = last+1, last+1
	w.promised, w.listed = false, 0
	switch {
	case !c.canConfirm:
	case w.listing != nil:
		w.listing.proof.note(w, evs, witnessKeys)
	default:
		w.g.witness.note(w, evs, witnessKeys)
		if st.numbering == numbersTheirs {
			c.beginLooks(now, w.g)
		}
		w.noteOwn(evs)
	}
	c.offer(now, w, out, nil, false)
	if c.isLarge(w, resp) {
		w.want |= wantCut
		c.again(now, w)
	}
}

// again creates an active watcher again, at its position.
func (c *core) again(now time.Time, w *watcher) {
	if w.state == stateActive {
		c.leave(w)
		c.pend(now, w)
		c.arm(w.g)
	}
}

// isLarge reports whether resp is so large that w needs its next responses in fragments.
func (c *core) isLarge(w *watcher, resp *pb.WatchResponse) bool {
	n := len(resp.Events)
	if resp.Fragment || w.want&wantCut != 0 || w.g.cut || n < 2 ||
		revision(resp.Events[0]) == revision(resp.Events[n-1]) {
		return false
	}
	size := sizeOfEvents(resp.Events)
	return size >= c.large && size/int64(n) >= min(largeEvent, c.large/2)
}

func revision(ev *mvccpb.Event) int64 { return ev.GetKv().GetModRevision() }

// wholeRevisions returns how many of the events are of revisions before the last one.
func wholeRevisions(evs []*mvccpb.Event) int {
	n := len(evs) - 1
	for n > 0 && revision(evs[n-1]) == revision(evs[n]) {
		n--
	}
	return n
}

// fresh returns the events that are to be delivered: those that are neither below the floor nor out
// of order. It copies only if it leaves some out.
func fresh(w *watcher, evs []*mvccpb.Event) []*mvccpb.Event {
	last := max(w.floor, 1)
	for i, ev := range evs {
		if revision(ev) >= last {
			last = revision(ev)
			continue
		}
		out := append([]*mvccpb.Event(nil), evs[:i]...)
		for _, ev := range evs[i+1:] {
			if r := revision(ev); r >= last {
				last = r
				out = append(out, ev)
			}
		}
		return out
	}
	return evs
}
