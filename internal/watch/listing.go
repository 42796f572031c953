package watch

// Watchers that have listed. Such a watcher has seen a history before its first event, perhaps not
// that of the stream: etcd may have been restored in between. So before it is created on a stream
// that is younger than the listing it proves itself, by the newest key that it has listed, each for
// itself: what others of the group have seen says nothing about it. A stream that was there before
// the listing began, and still is, is of the same history: no member changes its history alive, and
// what a proxy hides a lower raft term tells (older, term.go).
//
// Once it is confirmed it is a watcher like others, and its listing may be the group's witness.
//
// So is it with watchers that a member without a leader has confirmed while others of the group
// waited for a quorum: they may have begun in another history than the others have seen. What has
// been delivered to such a watcher since is its own proof, like a listing, until a stream whose
// member has a leader confirms it.

import (
	"bytes"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Listing is what a follower has read of its range, all at one revision.
type Listing struct {
	// Since is when reading began.
	Since     time.Time
	Revision  int64
	ClusterID uint64
	Term      uint64 // the raft term of then; 0: not known
	// Empty: the range has no key.
	Empty bool

	newest int64 // the highest revision of a key that was read; 0: none was
	change Change
}

// Note takes the newest of some keys that were read. It keeps no reference to it.
func (l *Listing) Note(kv *mvccpb.KeyValue) {
	if kv.GetModRevision() > l.newest {
		l.newest = kv.GetModRevision()
		l.change = Change{Key: bytes.Clone(kv.GetKey()), keyOnly: len(kv.GetValue()) == 0, sum: sumOf(kv)}
	}
}

// Key is the newest key that was read, nil if none was.
func (l *Listing) Key() []byte { return l.change.Key }

// WithKey is the listing with another name of its newest key.
func (l *Listing) WithKey(key []byte) *Listing {
	m := *l
	m.change.Key = key
	return &m
}

// listing is a watcher's, until it is confirmed by a member that has a leader.
type listing struct {
	since  time.Time
	term   uint64
	proof  witness
	asked  *stream // for which the proof was asked for
	again  bool    // asking has failed
	proved *stream // on which the watcher may be created
}

func newListing(l *Listing, key, end []byte) *listing {
	w := &listing{since: l.Since, term: l.Term, proof: witness{revision: l.Revision, newest: l.newest}}
	switch {
	case l.newest != 0:
		w.proof.changes = []Change{l.change}
		w.proof.changes[0].Key = bytes.Clone(l.change.Key)
	case l.Empty:
		w.proof.changes = []Change{{Key: bytes.Clone(key), End: bytes.Clone(end), Absent: true}}
	default:
		w.proof.revision = 0
	}
	return w
}

// listed keeps a listing as the witness, if it is the better one.
func (k *witness) listed(l witness) {
	switch {
	case l.revision == 0:
	case k.revision == 0, l.newest > k.newest, k.weak() && l.weak() && l.revision > k.revision:
		*k = l
	}
}

// vouch says whether w may be created on st; if not, the proof is asked for.
func (c *core) vouch(st *stream, w *watcher) bool {
	l := w.listing
	if l == nil || !c.canConfirm || l.proved == st || st.since.Before(l.since) {
		return true
	}
	if l.asked != st {
		l.asked, l.again = st, false
		c.do(action{kind: actConfirm, g: w.g, w: w, st: st, check: l.proof.question(w.key), round: st.round})
	}
	return false
}

// older reports that w has listed in a later term than the one it is confirmed in, which shows that
// the stream is of another history than it was when w trusted it, or that its member lags: w is to
// prove itself then.
func (c *core) older(st *stream, w *watcher, term uint64) bool {
	l := w.listing
	if l == nil || !c.canConfirm || l.proved == st || term == 0 || term >= l.term {
		return false
	}
	l.since = time.Time{}
	return true
}

// vouched is an input: what the cluster says of w's listing, asked for st in one of its rounds.
func (c *core) vouched(now time.Time, w *watcher, st *stream, round int, f Finding, err error, v Verdict) {
	l := w.listing
	if l == nil || w.state != statePending || w.g.st != st || l.asked != st || st.round != round {
		return
	}
	f.Unproved = f.Unproved || l.proof.revision == 0
	switch {
	case err != nil && v == Fatal:
		c.do(action{kind: actNote, w: w, err: err, note: "watch ends"})
		c.finish(now, w, nil, err)
	case err != nil:
		l.again = true
		if w.g.due[dueConfirm].IsZero() {
			w.g.due[dueConfirm] = now.Add(checkAgain)
		}
	case c.judge(now, w, f, f.Different):
		l.proved = st
		st.shown(f)
		c.await(now, st, w)
		c.flush(now, st)
	}
	c.arm(w.g)
}

// vouchAgain repeats the questions that have failed.
func (c *core) vouchAgain(g *group) {
	st := g.st
	if st == nil || !st.live || !st.guarded {
		return
	}
	for w := g.first; w != nil; w = w.next {
		if l := w.listing; l != nil && l.again && l.asked == st && w.state == statePending {
			l.asked = nil
			c.vouch(st, w)
		}
	}
}
