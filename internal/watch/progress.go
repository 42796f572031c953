package watch

// Progress requests. Their answer, with id -1, promises that every watcher of the
// stream has received all events up to the revision in its header. But the promise
// holds only for watchers that the server knew when it made the answer: it hands out
// confirmations, answers and events through several channels, in any order between
// them, so an answer that was made before a watcher existed may arrive after that
// watcher's confirmation and before its older events.
//
// So each watcher judges by itself. An answer counts for it if the request was sent after its
// confirmation had arrived. An answer does not name its request, and a request that was made while
// some watcher was behind is never answered. So an answer is taken for that of the oldest open
// request, which can only be too careful. An answer with a revision above that of the confirmation
// counts in any case: the server reads that revision before it makes the watcher, and handles
// requests one at a time.

import (
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// openFor is how long a request counts as open. Without a bound, each request that is never
// answered would shift all later answers by one. Answers arrive within the time that the stream
// takes to deliver the messages queued before them.
const openFor = 10 * time.Second

// requests are the progress requests of one stream.
type requests struct {
	sent uint64      // how many were sent
	open []time.Time // when those were sent that may still be answered, the oldest first
}

func (r *requests) send(now time.Time) {
	r.forget(now)
	r.sent++
	r.open = append(r.open, now)
}

func (r *requests) forget(now time.Time) {
	for len(r.open) > 0 && now.Sub(r.open[0]) > openFor {
		r.open = r.open[1:]
	}
}

// answer takes the oldest open request and returns how many had been sent before it;
// false if there is none.
func (r *requests) answer(now time.Time) (before uint64, ok bool) {
	r.forget(now)
	if len(r.open) == 0 {
		return 0, false
	}
	before = r.sent - uint64(len(r.open))
	r.open = r.open[1:]
	return before, true
}

// requestProgress is an input. The request is sent again on a later stream if this
// one breaks before the answer.
func (c *core) requestProgress(now time.Time, name string) {
	g := c.groups[name]
	if g == nil || g.first == nil {
		return
	}
	g.progress = true
	if st := g.st; st != nil && st.live && len(st.creates) == 0 && len(g.waiting) == 0 {
		c.sendProgress(now, st)
	}
}

func (c *core) sendProgress(now time.Time, st *stream) {
	switch st.numbering {
	case numbersUnknown: // the answer to the first create decides
	case numbersTheirs:
		// Old servers and the gRPC proxy know no progress requests. Their own periodic
		// notifications still come.
		st.g.progress = false
	default:
		st.requests.send(now)
		c.send(st, nil, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{
			ProgressRequest: &pb.WatchProgressRequest{}}})
	}
}

// progressAll passes the answer to a progress request to the watchers for which it counts. It moves
// no position: servers before 3.5.8 could send the answer ahead of events.
func (c *core) progressAll(now time.Time, st *stream, resp *pb.WatchResponse) {
	g := st.g
	before, ok := st.requests.answer(now)
	if st.unproved {
		return // the request is repeated
	}
	g.progress = false
	for w := g.first; w != nil; {
		next := w.next
		counts := resp.Header.GetRevision() > w.created || ok && w.asked <= before
		if counts && w.state == stateActive && w.partial() == nil {
			c.offer(now, w, resp, nil, false)
		}
		w = next
	}
}

// progressOf handles a notification for one watcher: it has received all events up
// to the revision in the header.
func (c *core) progressOf(now time.Time, w *watcher, resp *pb.WatchResponse) {
	rev := resp.Header.GetRevision()
	if rev <= 0 || rev < w.known {
		return // an old revision, which proves nothing
	}
	w.known = rev
	w.promise(rev)
	if w.want&wantProgress != 0 || w.g.progress {
		c.offer(now, w, resp, nil, false)
	}
}
