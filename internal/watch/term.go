package watch

// Streams whose servers are replaced. What stands between us and the members may keep a stream and
// open its own anew, as etcd's gRPC proxy does, so that the watches of a stream go on in another
// history, or another cluster, although nothing has broken. The headers tell: a member's raft term
// never falls, and a wiped or restored cluster begins at a low one. Where a stream speaks of a
// lower term than before, or of another cluster, its watchers are taken off it and it has to prove
// itself as if it were new. Then they are created again, at their positions.
//
// Another member that lags may be the reason, too; then the proof costs one read. Streams' terms
// are not compared with each other: of two members one is always the first to hear of an election.
// That the term of a new history is higher than what was heard is possible as well, and is not
// noticed.

import (
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// hear takes the header of a response on st, before anything else of it counts.
func (c *core) hear(now time.Time, st *stream, h *pb.ResponseHeader) {
	cluster, term := h.GetClusterId(), h.GetRaftTerm()
	falls := term != 0 && term < st.term || otherCluster(cluster, st.cluster)
	if term != 0 {
		st.term = term
	}
	if cluster != 0 {
		st.cluster = cluster
	}
	if falls && c.canConfirm {
		c.doubt(now, st)
	}
}

// doubt has st prove the history again.
func (c *core) doubt(now time.Time, st *stream) {
	g := st.g
	if st.round > 0 && now.Sub(st.since) < stableAfter { // no loop of proofs
		c.violation(now, st, "raft terms or clusters that change all the time")
		return
	}
	st.round++
	c.do(
		action{
			kind: actNote,
			st:   st,
			note: "a watch stream speaks of an earlier raft term, or of another cluster: it has to prove its history",
		},
	)
	if g.proves == st {
		g.proves = nil // what is being read may be of before
	}
	for w := g.first; w != nil; w = w.next {
		if w.state == stateCreating || w.state == stateActive {
			c.leave(w)
			w.state = statePending
		}
		if l := w.listing; l != nil {
			l.asked, l.proved = nil, nil
		}
	}
	c.admit(now, st)
}

// shown notes in which term st was proved: it may have been replaced since. After a doubt it may be
// that the member lags, so what it says counts.
func (st *stream) shown(f Finding) {
	if st.round == 0 {
		st.term = max(st.term, f.Term)
	}
}
