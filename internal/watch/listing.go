package watch

// Watchers with a listing. Such a watcher has seen a history before its first event, and the stream
// may have another one: etcd may have been restored in between. So before the watcher is created on
// a stream that is younger than the listing, its history has to be proved, by the newest key of the
// listing. Each watcher needs a proof of its own: other watchers of the group may have seen another
// history. A stream that was opened before the listing began has the same history as the listing:
// no member changes its history while it runs, and if a proxy hides a change of members, a lower
// raft term shows it (older, term.go).
//
// Once confirmed it is a watcher like others, and its listing may be the group's witness.
//
// The same holds for watchers that a member without a leader has confirmed while others of the
// group waited for a quorum: they may have begun in another history. Until a stream whose member
// has a leader confirms such a watcher, the events delivered to it are its own witness, like a
// listing.

import (
	"bytes"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Listing describes a follower's read of its range at one revision.
type Listing struct {
	// Since is when reading began, Answered when the first answer had come.
	Since     time.Time
	Answered  time.Time
	Revision  int64
	ClusterID uint64
	Term      uint64 // the raft term of then; 0: not known
	// Empty: the range has no key.
	Empty bool

	newest int64 // the highest mod revision of the keys; 0 without keys
	change Change
}

// Note notes kv if it is the newest key so far. It keeps no reference to kv.
func (l *Listing) Note(kv *mvccpb.KeyValue) {
	if kv.GetModRevision() > l.newest {
		l.newest = kv.GetModRevision()
		size := len(kv.GetValue())
		l.change = Change{Key: bytes.Clone(kv.GetKey()), KeyOnly: size == 0, size: uint32(size), sum: sumOf(kv)}
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

// listing is a watcher's listing, until a member with a leader has confirmed the watcher.
type listing struct {
	since  time.Time
	term   uint64
	proof  witness
	asked  *stream // the stream for which the proof was requested
	again  bool    // the request for the proof failed
	proved *stream // the watcher may be created on it
	shared bool    // the history is the group's
	// answered is when its first answer had come, added when the watch began.
	answered, added time.Time
	failed          bool // a stream has failed since
}

func newListing(l *Listing, key, end []byte) *listing {
	w := &listing{since: l.Since, answered: l.Answered, term: l.Term}
	w.proof.revision, w.proof.newest = l.Revision, l.newest
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

// listed makes a listing the witness if it is the better one.
func (k *witness) listed(l witness) {
	switch {
	case l.revision == 0:
	case k.revision == 0, l.newest > k.newest, k.weak() && l.weak() && l.revision > k.revision:
		*k = l
	}
}

// vouch reports whether w may be created on st. If not, it requests the proof.
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

// vouched is an input: the cluster's answer about w's listing, requested for st in one of its
// rounds.
func (c *core) vouched(now time.Time, w *watcher, st *stream, round int, f Finding, err error, v Verdict) {
	l := w.listing
	if l == nil || w.state != statePending || w.g.st != st || l.asked != st || st.round != round {
		return
	}
	f.Unproved = f.Unproved || f.Compacted || l.proof.revision == 0
	switch {
	case err != nil && v == Fatal:
		c.note(nil, w, err, "watch ends")
		c.finish(now, w, nil, err)
	case err != nil:
		l.again = true
		if w.g.due[dueConfirm].IsZero() {
			w.g.due[dueConfirm] = now.Add(checkAgain)
		}
	case l.shared && f.Different:
		c.allLost(now, w.g, f)
		c.lost(now, w, f)
	case c.judge(now, w, f, f.Different):
		l.proved = st
		st.shown(f)
		c.await(now, st, w)
		c.flush(now, st)
	}
	c.arm(w.g)
}

// vouchAgain repeats the failed requests for proofs.
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
