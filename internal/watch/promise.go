package watch

// Promises. A watcher's position is most often where its last event was. But etcd's notifications
// move it too, and so does a listing: they say that there is no event from the floor up to the
// position. That keeps the position of a quiet watcher ahead of compactions. Yet it says so of the
// history of then. The witness shows that the history is the same up to the witness, and not a step
// further: a restored backup that has the witness may have other events between it and the
// position.
//
// So a watcher whose position is ahead of the witness resumes after the witness, or at its own
// floor if that is later. Then the server sends what is there, most often nothing. An event before
// the position is of another history. If it is not after the watcher's listing, it may also be of a
// key that was deleted before the listing; then the watcher lists again.
//
// The server reads all revisions from there on, once for a few hundred watchers, so this is done
// only while that is little, or if the raft term is lower than before, as it is at first in a
// restored cluster. If they were compacted, the watcher resumes where the compaction was, and what
// was before it stays unchecked.

import (
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	// checkedTogether is for how many watchers a server reads its revisions once.
	checkedTogether = 512
	// checkMost bounds how many revisions a server reads to check promises. As measured, one of a
	// small value costs it 1.1 us (4 us with 4 KB, 14 us with 32 KB), so this is 0.1 s of one core.
	// 10,000 watchers were back 0.6 s after the election with nothing to read and 0.8 to 0.9 s with
	// 10,000 revisions, on a busy machine 0.8 to 1.2 s with 4,000 and 1.1 to 2.0 s with 8,000.
	checkMost = 100_000
	// lateAfter is how long it may take to open a stream for a watcher that has listed: far less
	// than to restore a backup.
	lateAfter = time.Second
)

// promise moves w's position behind rev, up to which w has received all events.
func (w *watcher) promise(rev int64) {
	switch {
	case w.promised:
		w.doubtful = w.doubtful && !w.lowered
		w.resume = max(w.resume, rev+1)
	case w.resume == 0: // it started "from now", which was rev at most
		w.resume, w.floor = rev+1, rev+1
	default:
		w.floor = max(w.floor, min(rev+1, w.resume))
		if rev >= w.resume {
			w.promised, w.doubtful, w.floor, w.resume = true, false, w.resume, rev+1
		}
	}
}

// startOf returns where a create of w on st starts: at w's position, or before it, if a promise is
// to be checked.
func (c *core) startOf(st *stream, w *watcher) int64 {
	if !w.promised || !c.canConfirm || !w.answered && !w.listing.late(st) {
		return w.resume
	}
	start := min(w.floor, w.resume)
	times := int64(st.g.size/checkedTogether + 1)
	if (st.at-start)*times > checkMost && st.term >= st.g.term {
		return w.resume
	}
	return start
}

// trust moves w's floor behind the newest change of a witness that was found, if w has received its
// promise in the history of that. Until it has checked the promise on the next stream, it may be
// that others of the group go on in another history, and have another witness by then.
func (w *watcher) trust(newest int64, f Finding) {
	if !w.promised {
		return
	}
	if !w.doubtful && !f.Unproved {
		w.floor = max(w.floor, min(newest+1, w.resume))
	}
	w.promised = w.floor < w.resume
	w.doubtful = w.promised
}

// late reports that etcd may have been restored between the listing and the opening of st: a stream
// has failed, the connection is younger than the listing, or there was the time for it behind a
// proxy that keeps its connections. Otherwise the first create starts at the position: followers of
// keys that were deleted last would list again and again.
func (l *listing) late(st *stream) bool {
	return l != nil && (l.failed || st.connected.After(l.answered) || st.openedAt.Sub(l.added) > lateAfter)
}

// unchecked gives up the check of revisions before one that was compacted.
func (w *watcher) unchecked(compacted int64) {
	w.floor = min(max(compacted, w.floor+1), w.resume)
	w.promised = w.floor < w.resume
}

// contradicted ends w, which was promised that there is no event of rev.
func (c *core) contradicted(now time.Time, w *watcher, h *pb.ResponseHeader, rev int64) {
	f := Finding{Revision: h.GetRevision(), ClusterID: h.GetClusterId()}
	if rev <= w.listed {
		c.listAgain(now, w, f)
	} else {
		c.lost(now, w, f)
	}
}

// noteOwn keeps w's newest event, should the user lose the permission for the group's witness.
func (w *watcher) noteOwn(evs []*mvccpb.Event) {
	if w.own == nil {
		w.own = &witness{}
	}
	w.own.note(w, evs, 1)
}

// noteListed keeps what w has listed.
func (w *watcher) noteListed(k *witness) {
	if k.revision != 0 && (w.own == nil || w.own.newest <= k.newest) {
		w.own = k.clone()
	}
}

// clone is a copy of k that shares nothing with it.
//
//go:noinline
func (k *witness) clone() *witness {
	n := *k
	n.changes = k.question(nil).Changes
	return &n
}

// proveEach has each watcher of g that has received anything prove itself, since the witness may
// not be read.
func (c *core) proveEach(now time.Time, g *group) {
	g.waiting = g.waiting[:0]
	for w := g.first; w != nil; w = w.next {
		switch {
		case w.listing != nil:
		case w.own == nil:
			w.doubted = w.hasHistory()
		default:
			w.listing = &listing{proof: *w.own.clone(), shared: true}
		}
		if w.state == statePending && g.st != nil && g.st.live {
			c.await(now, g.st, w)
		}
	}
}

// allLost ends the watchers of g that have received nothing, since another one of their history has
// lost it. Those that have prove themselves.
func (c *core) allLost(now time.Time, g *group, f Finding) {
	for w := g.first; w != nil; {
		next := w.next
		if w.doubted && w.own == nil {
			c.lost(now, w, f)
		}
		w = next
	}
}
