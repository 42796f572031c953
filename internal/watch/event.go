package watch

// Dispatch of responses, and the position of each watcher.
//
// A watcher's position is resume, and with midway set also count: a fragment that
// is not the last may end within a revision, and then the next stream starts with
// that revision again and its first count events are skipped. In a complete
// response every revision is complete (etcd's API guarantees), so afterwards
// resume is the last revision + 1 and nothing has to be skipped.
//
// The position counts what was handed to the consumer's queue, not what it has
// taken: the queue survives a broken stream.

import (
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// response is an input: resp arrived on st. cerr and v are what its cancel reason
// means, if it has one.
func (c *core) response(now time.Time, st *stream, resp *pb.WatchResponse, cerr error, v Verdict) {
	if st.g.st != st || !st.live || resp == nil {
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

// eventsOf is resp without whatever else it says. Servers do not mix the two.
func eventsOf(resp *pb.WatchResponse) *pb.WatchResponse {
	return &pb.WatchResponse{Header: resp.Header, WatchId: resp.WatchId, Fragment: resp.Fragment, Events: resp.Events}
}

// stray handles a response for an id that no watcher has.
func (c *core) stray(now time.Time, st *stream, resp *pb.WatchResponse) {
	id := resp.WatchId
	switch {
	case resp.Canceled:
		delete(st.gone, id)
	case id == -1 && len(resp.Events) == 0 && !resp.Fragment && resp.CompactRevision == 0 && resp.Header.GetRevision() > 0:
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
			c.do(action{kind: actNote, st: st, note: "server sends events for a watcher that nobody has"})
		}
	}
}

// progressAll hands the answer to a progress request to all. It moves no position:
// servers before 3.5.8 could send it ahead of events.
func (c *core) progressAll(now time.Time, st *stream, resp *pb.WatchResponse) {
	g := st.g
	g.progress = false
	for w := g.first; w != nil; {
		next := w.next
		if w.state == stateActive && w.partial() == nil {
			c.offer(now, w, resp, nil, false)
		}
		w = next
	}
}

// progressOf handles a notification for one watcher: it has received all events up
// to the revision in the header.
func (c *core) progressOf(now time.Time, w *watcher, resp *pb.WatchResponse) {
	rev := resp.Header.GetRevision()
	if rev <= 0 || rev < w.known || w.midway {
		return // from the past, or in the middle of a revision: not to be believed
	}
	w.known = rev
	if rev >= w.resume {
		w.resume = rev + 1
	}
	if w.floor <= rev {
		w.floor = rev + 1
	}
	if w.want&wantProgress != 0 || w.g.progress {
		c.offer(now, w, resp, nil, false)
	}
}

// events handles a response with events, or a part of one.
func (c *core) events(now time.Time, st *stream, w *watcher, resp *pb.WatchResponse) {
	whole := w.want&wantFragment == 0
	if whole && (resp.Fragment || w.partial() != nil) {
		if resp = c.merge(now, st, w, resp); resp == nil {
			return
		}
	}
	n := c.fresh(w, resp.Events)
	if n == len(resp.Events) && n > 0 {
		c.advance(w, resp)
		c.offer(now, w, resp, nil, false)
		return
	}
	// Some of it was delivered before, or should not be there.
	out := &pb.WatchResponse{Header: resp.Header, WatchId: resp.WatchId, Fragment: resp.Fragment}
	if out.Events = c.selectFresh(w, resp.Events); len(out.Events) > 0 {
		c.advance(w, out)
		c.offer(now, w, out, nil, false)
		return
	}
	if w.midway && !resp.Fragment && w.skip == 0 {
		// The user still waits for the end of a fragmented response, all of which it
		// has. What it gets must not claim progress beyond what it has.
		h := pb.ResponseHeader{Revision: w.resume, ClusterId: resp.Header.GetClusterId(), MemberId: resp.Header.GetMemberId(), RaftTerm: resp.Header.GetRaftTerm()}
		out.Header = &h
		w.midway, w.count = false, 0
		w.resume++
		w.floor = w.resume
		c.offer(now, w, out, nil, false)
	}
}

func revision(ev *mvccpb.Event) int64 { return ev.GetKv().GetModRevision() }

// fresh counts the leading events that are to be delivered as they are.
func (c *core) fresh(w *watcher, evs []*mvccpb.Event) int {
	last := max(w.floor, 1)
	if w.skip > 0 {
		return 0
	}
	for i, ev := range evs {
		r := revision(ev)
		if r < last {
			return i
		}
		last = r
	}
	return len(evs)
}

// selectFresh copies the events that are to be delivered: not below the floor, not
// out of order, and not the first skip ones of the revision the stream resumed at.
func (c *core) selectFresh(w *watcher, evs []*mvccpb.Event) []*mvccpb.Event {
	last := max(w.floor, 1)
	var out []*mvccpb.Event
	for _, ev := range evs {
		r := revision(ev)
		if r < last {
			continue
		}
		last = r
		if w.skip > 0 {
			if r == w.resume {
				w.skip--
				continue
			}
			w.skip = 0
		}
		out = append(out, ev)
	}
	return out
}

// advance moves the position over the events of resp, which are all delivered now.
func (c *core) advance(w *watcher, resp *pb.WatchResponse) {
	evs := resp.Events
	last := revision(evs[len(evs)-1])
	w.known = max(w.known, last)
	if !resp.Fragment {
		w.midway, w.count, w.skip = false, 0, 0
		w.resume = last + 1
		w.floor = last + 1
		return
	}
	n := 0
	for i := len(evs) - 1; i >= 0 && revision(evs[i]) == last; i-- {
		n++
	}
	if w.midway && w.resume == last {
		n += w.count
	}
	w.midway, w.count = true, n
	w.resume, w.floor = last, last
}

// merge collects the parts of a response for a user that did not ask for fragments.
// It returns the whole once it is there.
func (c *core) merge(now time.Time, st *stream, w *watcher, resp *pb.WatchResponse) *pb.WatchResponse {
	p := w.partial()
	if p == nil {
		p = &pb.WatchResponse{WatchId: resp.WatchId}
		c.needBacklog(w).part = p
	}
	p.Header = resp.Header
	p.Events = append(p.Events, resp.Events...)
	if !resp.Fragment {
		c.clearPartial(w)
		return p
	}
	n := sizeOf(resp)
	w.backlog.partBytes += n
	c.buffered += n
	if w.backlog.partBytes > c.limit || c.buffered > 2*c.limit {
		c.violation(now, st, "a response that does not end")
	}
	return nil
}
