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
//
// Servers notify of progress without being asked, every ten minutes, but only 128 watchers of a
// stream at a time, as seen with 3.6 and 3.7. The positions of the others stay where their last
// events were: after the stream's end the server has to read all revisions since then, once for a
// few hundred of them, and a compaction ends them. So a group with more watchers asks by itself,
// and the answers move its positions. One for 10,000 watchers takes a server 1.2 ms. Servers before
// 3.5.8 could send the answer ahead of events. So the member's version is asked for first, and an
// answer has to come from the member that gave it.

import (
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// openFor is how long a request counts as open. Without a bound, each request that is never
// answered would shift all later answers by one. Answers arrive within the time that the stream
// takes to deliver the messages queued before them.
const openFor = 10 * time.Second

const (
	// notifiedTogether is how many watchers of a stream a server notifies at a time.
	notifiedTogether = 128
	// askEvery is how often a group with more asks: at 1,000 writes a second its watchers are 5,000
	// revisions behind, which is little to read.
	askEvery = 5 * time.Second
)

// requests are the progress requests of one stream.
type requests struct {
	sent uint64      // how many were sent
	user uint64      // how many of them when a user's last one was
	open []time.Time // when those were sent that may still be answered, the oldest first
}

func (r *requests) send(now time.Time, user bool) {
	r.forget(now)
	r.sent++
	if user {
		r.user = r.sent
	}
	r.open = append(r.open, now)
}

// wanted reports that the next answer may be one that a user waits for.
func (r *requests) wanted() bool {
	return len(r.open) == 0 || r.user > r.sent-uint64(len(r.open))
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
		c.sendProgress(now, st, true)
	}
}

func (c *core) sendProgress(now time.Time, st *stream, user bool) {
	switch st.numbering {
	case numbersUnknown: // the answer to the first create decides
	case numbersTheirs:
		// Old servers and the gRPC proxy know no progress requests. Their own periodic
		// notifications still come.
		st.g.progress = false
	default:
		st.requests.send(now, user)
		c.send(st, nil, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{
			ProgressRequest: &pb.WatchProgressRequest{}}})
	}
}

// ask asks for the progress of a large group, or first for the version of its member. Behind a
// proxy it looks.
func (c *core) ask(now time.Time, g *group) {
	st := g.st
	if st != nil && st.numbering == numbersTheirs && g.size > 0 {
		c.look(now, st)
		return
	}
	if st == nil || st.numbering != numbersOurs || g.size <= c.many {
		return // the next confirmation begins it again
	}
	g.due[dueAsk] = now.Add(askEvery)
	switch {
	case st.orders != 0:
		c.sendProgress(now, st, false)
	case !st.asked:
		st.asked = true
		c.do(action{kind: actConfirm, g: g, st: st, check: Check{Member: st.member}})
	}
}

// told is an input: the answer of st's member.
func (c *core) told(now time.Time, st *stream, f Finding, err error) {
	if st.g.st == st {
		st.orders, st.asked = f.Orders, err == nil
		if f.Orders != 0 {
			c.sendProgress(now, st, false)
		}
	}
}

// progressAll passes the answer to a progress request to the watchers for which it counts. Their
// positions move only if that is certain, whatever became of requests.
func (c *core) progressAll(now time.Time, st *stream, resp *pb.WatchResponse) {
	g := st.g
	rev, from := resp.Header.GetRevision(), resp.Header.GetMemberId()
	wanted := g.progress || st.requests.wanted()
	before, ok := st.requests.answer(now)
	if st.unproved {
		return // the request is repeated
	}
	g.progress = false
	if from != st.orders {
		st.orders, st.asked = 0, st.asked && st.orders == 0
	}
	for w := g.first; w != nil; {
		next := w.next
		newer := rev > w.created
		if (newer || ok && w.asked <= before) && w.state == stateActive && w.partial() == nil {
			if newer && st.orders != 0 {
				w.progress(rev)
			}
			if wanted {
				c.offer(now, w, resp, nil, false)
			}
		}
		w = next
	}
}

// progressOf handles a notification for one watcher: it has received all events up
// to the revision in the header.
func (c *core) progressOf(now time.Time, w *watcher, resp *pb.WatchResponse) {
	if !w.progress(resp.Header.GetRevision()) {
		return
	}
	if w.want&wantProgress != 0 || w.g.progress {
		c.offer(now, w, resp, nil, false)
	}
}

// progress moves w's position behind rev, and reports false for an old revision, which proves
// nothing.
//
//go:noinline
func (w *watcher) progress(rev int64) bool {
	if rev <= 0 || rev < w.known {
		return false
	}
	w.known = rev
	w.promise(rev)
	return true
}
