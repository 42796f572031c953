package watch

// Streams whose servers are replaced. A proxy between us and the members, such as etcd's gRPC
// proxy, may keep our stream and open its own again. The watches of our stream then go on in
// another history, or another cluster, although nothing has broken. The headers show that: a
// member's raft term never falls, and a wiped or restored cluster begins with a low term. When a
// stream's headers have a lower term than before, or another cluster, its watchers are taken off
// it, and its history has to be proved as for a new stream. Then the watchers are created again, at
// their positions.
//
// A lagging member may be the reason too; then the proof costs one read. Terms of different streams
// are not compared: one of two members is always the first to learn of an election. The watches of
// one stream behind etcd's gRPC proxy may be those of several members, so there terms go up and
// down until all have learned of it; that is asked about once a second. A new history whose terms
// are not lower is found by looks (look.go).

import (
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// hear handles the header of a response on st, before the rest of the response.
func (c *core) hear(now time.Time, st *stream, h *pb.ResponseHeader) {
	cluster, term := h.GetClusterId(), h.GetRaftTerm()
	falls := term != 0 && term < st.term || otherCluster(cluster, st.cluster)
	if term != 0 {
		if term < st.term {
			st.g.term = st.term
		}
		st.term = term
	}
	if cluster != 0 {
		st.cluster = cluster
	}
	if falls && c.canConfirm {
		c.doubt(now, st,
			"a watch stream speaks of an earlier raft term, or of another cluster: it has to prove its history")
	}
}

// doubt requests a new proof of st's history; why is for the log.
func (c *core) doubt(now time.Time, st *stream, why string) {
	g := st.g
	if st.round > 0 && now.Sub(st.since) < stableAfter { // no loop of proofs
		switch {
		case st.numbering != numbersTheirs:
			c.violation(now, st, "raft terms or clusters that change all the time")
			return
		case st.unproved && !g.due[dueConfirm].IsZero():
			return // the proof is yet to be asked for
		}
		g.due[dueConfirm] = st.since.Add(stableAfter)
		c.arm(g)
	}
	st.round++
	c.note(st, nil, nil, why)
	if g.proves == st {
		g.proves = nil // the read under way may have begun before
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

// shown notes the revision and the term in which st was proved: its server may have been replaced
// since. After a doubt the member may lag, so its own term counts.
func (st *stream) shown(f Finding) {
	st.at = max(st.at, f.Revision)
	if st.round == 0 {
		st.term = max(st.term, f.Term)
	}
}
