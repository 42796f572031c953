package watch

// Lost history. After a cluster was restored from a snapshot, or replaced, its
// revisions start again lower, and a watcher that resumes at its old position
// would wait in silence and then get events of another history. The answer to a
// resume gives it away: another cluster id, or a revision below what the watcher
// has seen. But a follower that lags shows the same low revision, so a linearizable
// read decides. Until then the watcher is off its stream.
//
// The same read finds the position of watchers that were confirmed without one.

import (
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// confirmAgain is the wait before a failed check is repeated: a check fails when no
// member can serve a linearizable read, and an election takes about a second.
const confirmAgain = 250 * time.Millisecond

// doubtful reports whether the answer to a resume hints at lost history.
func (c *core) doubtful(st *stream, w *watcher, h *pb.ResponseHeader) bool {
	if !c.canConfirm {
		return false
	}
	if id := h.GetClusterId(); id != 0 && w.cluster != 0 && id != w.cluster {
		return true
	}
	rev := h.GetRevision()
	return rev > 0 && rev < w.known && st.cleared < w.known
}

// suspect takes w off the stream until a check has been made.
func (c *core) suspect(st *stream, w *watcher, h *pb.ResponseHeader) {
	w.state = stateSuspect
	if id := h.GetClusterId(); id != 0 && w.cluster != 0 && id != w.cluster {
		st.cluster = id
	}
	c.wantConfirm(w.g)
}

func (c *core) wantConfirm(g *group) {
	if !g.confirming && g.due[dueConfirm].IsZero() {
		c.confirm(g)
	}
}

// confirm starts a read that covers all suspects and all watchers without a position
// of now. Later suspects may know revisions that this read does not have to see, and
// later watchers start after it.
func (c *core) confirm(g *group) {
	if g.confirming {
		return
	}
	for w := g.first; w != nil; w = w.next {
		if w.state == stateSuspect {
			w.state = stateChecked
			g.confirming = true
		}
		if w.placing == unplaced {
			w.placing = beingRead
			g.confirming = true
		}
	}
	if g.confirming {
		c.do(action{kind: actConfirm, g: g})
	}
}

// confirmed is an input: the check's result.
func (c *core) confirmed(now time.Time, g *group, rev int64, cluster uint64, err error) {
	if c.groups[g.name] != g || !g.confirming {
		return
	}
	g.confirming = false
	if err != nil {
		for w := g.first; w != nil; w = w.next {
			if w.state == stateChecked {
				w.state = stateSuspect
			}
			if w.placing == beingRead {
				w.placing = unplaced
				c.tell(w) // the watch works, only a resume before its first event would not
			}
			if w.state == stateSuspect || w.placing == unplaced {
				g.due[dueConfirm] = now.Add(confirmAgain)
			}
		}
		c.arm(g)
		return
	}
	st := g.st
	if st != nil {
		st.cleared = max(st.cleared, rev)
	}
	wrong := false
	var back []*watcher
	for w := g.first; w != nil; {
		next := w.next
		if w.placing == beingRead {
			c.place(w, rev)
		}
		replaced := cluster != 0 && w.cluster != 0 && cluster != w.cluster
		switch ours := !replaced && rev >= w.known; {
		case w.state != stateChecked && w.state != stateSuspect:
		case ours: // also proof for those that became suspect during the check
			w.state = statePending
			back = append(back, w)
			wrong = wrong || st != nil && st.cluster != 0 && st.cluster != w.cluster
		case w.state == stateChecked:
			c.lost(now, w, rev, cluster)
		}
		w = next
	}
	c.confirm(g)
	if wrong {
		// The cluster is the old one, but this member belongs to another.
		c.fail(now, st, errWrongCluster, Retry, true)
		return
	}
	for _, w := range back {
		c.pend(now, w)
	}
	c.arm(g)
}

// place gives w the position rev+1, unless events have given it one.
func (c *core) place(w *watcher, rev int64) {
	w.placing = placed
	if w.resume == 0 && rev > 0 {
		w.resume, w.known = rev+1, rev
	}
	c.tell(w)
}

func (c *core) lost(now time.Time, w *watcher, rev int64, cluster uint64) {
	if cluster == 0 {
		cluster = w.cluster
	}
	err := &HistoryLostError{LastRevision: w.known, ClusterID: w.cluster, NowRevision: rev, NowClusterID: cluster}
	c.do(action{kind: actNote, w: w, err: err, note: "watch ends"})
	c.finish(now, w, &pb.WatchResponse{Header: &pb.ResponseHeader{ClusterId: cluster, Revision: rev}}, err)
}
