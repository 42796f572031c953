package watch

// Lost history. After a cluster was restored from a snapshot, or replaced, its
// revisions start again lower, and a watcher that resumes at its old position would
// wait in silence, and then get events of another history. If the new history has
// overtaken the position, not even the revision gives it away.
//
// So a stream has to prove itself before watchers with a history resume on it: the
// cluster, asked by linearizable reads, must be the same, its revision not below what
// the watchers have seen, and the newest revision that was delivered to one of them,
// the witness, must have changed the same keys to the same values. One witness for all
// watchers of a group is enough, since they have one history, and asking for the last
// event of each would be expensive: the server looks through all revisions since then.
//
// A watcher with a listing has seen a revision too, although nothing was delivered to it yet: the
// newest key of its listing, as it was at the listing's revision, is a witness of its own
// (listing.go), and the group's once it has joined.
//
// If the witness's revision is compacted, its keys are read as they were at the latest revision up
// to which their watcher has got every event, or as they are now. Unchanged keys prove the history;
// keys that have changed without an event prove the contrary. A deletion proves neither, since most
// keys do not exist; so the put before it stays a part of the witness. If nothing is proved,
// watchers that can list do so, and the others go on.
//
// Only keys that a watcher of the group watches are read, since the user may have no permission for
// others.
//
// Without permission for the witness's keys each watcher of the group has to prove itself, by its
// own newest event. One that may not read that either ends with the server's error.
//
// The same check finds the position of watchers that were confirmed without a revision.

import (
	"bytes"
	"cmp"
	"hash/crc32"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// checkAgain is the wait before a failed check is repeated: a check fails when no
// member can serve a linearizable read, and an election takes about a second.
const checkAgain = 250 * time.Millisecond

// witnessKeys bounds how many events of one revision are compared. Each deletion takes
// two reads, and a transaction holds 128 (etcd's default).
const witnessKeys = 32

// Check is a question to the cluster.
type Check struct {
	// Member is that of a stream. If it is set, the question is only whether it sends the answer to
	// a progress request behind all events up to the answer's revision.
	Member string
	// Key is a key that a watcher of the group watches. A read of it returns the cluster's id and
	// present revision.
	Key []byte
	// Revision is that of the witness; 0: there is none.
	Revision int64
	// Changes are the changes of that revision, or the state of keys and a range that a listing
	// found.
	Changes []Change
	// Seen is the revision up to which their watcher would have got any further change of them: the
	// witness's revision at least.
	Seen int64
	// KeysOnly: of all changes only the keys are compared, see Change.KeyOnly.
	KeysOnly bool
	// Now asks whether a key that was put has changed since Seen.
	Now bool
}

// Change is one event of the witness, or the state that a listing has found.
type Change struct {
	Key     []byte
	End     []byte // with Absent only: of the range
	Deleted bool   // the witness's revision deleted the key
	Absent  bool   // there was no key in the range
	// KeyOnly: value and lease are not known, as of a listing of keys with etcd 3.7, or not to be
	// read.
	KeyOnly bool
	size    uint32 // of the value
	sum     uint64
}

// Finding is the cluster's answer to a Check.
type Finding struct {
	_         [0]func() // not comparable, see balancer.conn
	Revision  int64
	ClusterID uint64
	Term      uint64 // the raft term; 0: not known
	// Different: the witness's revision has changed other keys, or to other values. It must not be
	// set when the revision was compacted, since then the cluster cannot tell.
	Different bool
	// Unproved: there was no witness, or the cluster could not tell.
	Unproved bool
	// Compacted: the revision of the witness was.
	Compacted bool
	// Changed is the answer to Now.
	Changed bool
	// Orders is the id of the member that sends answers in order, 0 if it does not.
	Orders uint64
}

// SameAs reports whether kv, as it was at the witness's revision, is the key-value that the event
// put.
func (c Change) SameAs(kv *mvccpb.KeyValue) bool {
	d := c.sum ^ sumOf(kv)
	return d>>32 == 0 && (c.KeyOnly || d == 0)
}

var table = crc32.MakeTable(crc32.Castagnoli)

// sumOf is a checksum of kv: of its revisions and version in the upper half, of its value and lease
// in the lower. It leaves out the key, since the read asks for that.
func sumOf(kv *mvccpb.KeyValue) uint64 {
	const spread = 0x9e3779b97f4a7c15
	var n uint64
	for _, v := range [3]int64{kv.GetCreateRevision(), kv.GetModRevision(), kv.GetVersion()} {
		n = (n ^ uint64(v)) * spread // without memory of its own, unlike a CRC
		n ^= n >> 32
	}
	return n<<32 | uint64(crc32.Checksum(kv.GetValue(), table)^uint32(uint64(kv.GetLease())*spread>>32))
}

// witness is the newest revision that was delivered to a watcher of the group, or listed by one.
type witness struct {
	revision int64
	// newest is the revision of its latest change, which for a listing is before its revision.
	// Later changes prove nothing.
	newest  int64
	of      *watcher // the watcher that got or listed it; nil: not confirmed yet
	changes []Change // reused, with their keys, by the next one
}

// forgetWitness is called when the witness can prove nothing any more.
//
//go:noinline
func (g *group) forgetWitness() {
	g.witness.revision, g.witness.newest = 0, 0
	g.looks.mark, g.looks.next, g.looks.asked = nil, nil, 0
}

// weak: the witness is an empty range, which proves less than any key.
func (k *witness) weak() bool { return len(k.changes) == 1 && k.changes[0].Absent }

// note keeps the last revision of evs, at most so many of its events. They are all events of w's
// response.
func (k *witness) note(w *watcher, evs []*mvccpb.Event, most int) {
	last := revision(evs[len(evs)-1])
	if last <= k.newest {
		return
	}
	put, kept := k.putBefore(w, evs)
	k.revision, k.newest, k.of = last, last, w
	n := 0
	for i := len(evs) - 1; i >= 0 && n < most && revision(evs[i]) == last; i-- {
		if n == len(k.changes) {
			if n < cap(k.changes) {
				k.changes = k.changes[:n+1]
			} else {
				k.changes = append(k.changes, Change{})
			}
		}
		k.changes[n].set(evs[i])
		n++
	}
	k.changes = k.changes[:n]
	if kept {
		k.changes = append(k.changes, put)
	}
}

func (ch *Change) set(ev *mvccpb.Event) {
	ch.Key = append(ch.Key[:0], ev.GetKv().GetKey()...)
	ch.End, ch.Absent, ch.KeyOnly = nil, false, false
	ch.Deleted = ev.GetType() == mvccpb.Event_DELETE
	ch.size = uint32(len(ev.GetKv().GetValue()))
	if !ch.Deleted {
		ch.sum = sumOf(ev.GetKv())
	}
}

// putBefore finds the newest put that w knows of, if evs end with deletions and do not delete it:
// its key is at their revision what it was before. If there is one it is taken out of the witness.
func (k *witness) putBefore(w *watcher, evs []*mvccpb.Event) (put Change, found bool) {
	n := len(evs)
	for n > 0 && evs[n-1].GetType() == mvccpb.Event_DELETE {
		n--
	}
	if n == len(evs) || n > 0 && revision(evs[n-1]) == revision(evs[len(evs)-1]) {
		return put, false // it is noted as one of evs
	}
	if n > 0 {
		put.set(evs[n-1])
	} else if i := firstPut(k.changes); i >= 0 && k.of == w && w.unfiltered() {
		put = k.changes[i]
		k.changes[i].Key = nil
	}
	for _, ev := range evs[n:] {
		if bytes.Equal(ev.GetKv().GetKey(), put.Key) {
			return put, false
		}
	}
	return put, put.Key != nil
}

// firstPut is the index of the first change that is a put, -1 if none is.
//
//go:noinline
func firstPut(changes []Change) int {
	for i := range changes {
		if changes[i].IsPut() {
			return i
		}
	}
	return -1
}

// Put returns a key of the witness that existed at its revision; nil: none did.
func (q Check) Put() []byte {
	if i := firstPut(q.Changes); i >= 0 {
		return q.Changes[i].Key
	}
	return nil
}

// IsPut reports whether the key existed at the witness's revision.
func (c Change) IsPut() bool { return !c.Deleted && !c.Absent }

// unfiltered: w gets every event of its keys.
func (w *watcher) unfiltered() bool { return w.want&(wantNoPut|wantNoDelete) == 0 }

// seen is the revision up to which the witness's keys have certainly not changed again.
func (k *witness) seen() int64 {
	if k.of == nil || !k.of.unfiltered() {
		return k.revision
	}
	return max(k.revision, k.of.resume-1)
}

// question returns a copy of the witness if there is one, since deliveries may change it during the
// check. It is not inlined: its copies made programs 1 KB larger.
//
//go:noinline
func (k *witness) question(key []byte) Check {
	q := Check{Key: key, Revision: k.revision, Seen: k.seen()}
	if k.revision == 0 {
		return q
	}
	for _, ch := range k.changes {
		ch.Key = append([]byte(nil), ch.Key...)
		q.Changes = append(q.Changes, ch)
	}
	return q
}

// check asks for the proof that the group's stream needs and for the positions of watchers without
// one. Needs that arise meanwhile wait for the next check.
func (c *core) check(now time.Time, g *group) {
	if g.checking || !g.due[dueConfirm].IsZero() {
		return
	}
	g.proves, g.probes, g.asks = nil, nil, nil
	if g.st != nil && g.st.unproved {
		g.proves = g.st
	}
	for w := g.first; w != nil; w = w.next {
		if w.placing == unplaced {
			w.placing = beingRead
			g.asks = w
		} else if g.proves != nil && g.asks == nil && w.hasHistory() && w.listing == nil {
			g.asks = w
		}
	}
	if g.st != nil && g.st.live && !g.st.guarded {
		g.probes = g.st
		if g.asks == nil {
			g.asks = g.first
		}
	}
	if g.suspect && g.asks == nil {
		g.asks = g.first
	}
	g.suspect = false
	if g.asks == nil {
		if g.proves != nil { // the watchers with a history have gone
			g.st.unproved = false
			c.flush(now, g.st)
		}
		return
	}
	g.checking = true
	q := Check{Key: g.asks.key}
	if g.proves != nil {
		q = g.witness.question(g.asks.key)
	}
	c.do(action{kind: actConfirm, g: g, check: q})
}

// checked is an input: the check's result. v is the meaning of err.
func (c *core) checked(now time.Time, g *group, f Finding, err error, v Verdict) {
	if c.groups[g.name] != g || !g.checking {
		return
	}
	g.checking = false
	asks, proves, probes := g.asks, g.proves, g.probes
	g.asks, g.proves, g.probes = nil, nil, nil
	if err != nil {
		c.checkFailed(now, g, asks, proves, err, v)
		return
	}
	for w := g.first; w != nil; w = w.next {
		if w.placing == beingRead {
			c.place(w, f.Revision)
		}
	}
	if st := g.st; st != nil && st == proves && st.unproved {
		f.Unproved = f.Unproved || g.witness.revision == 0
		c.proved(now, st, f)
	}
	if st := g.st; st != nil && st == probes {
		c.guard(now, st)
	}
	c.check(now, g)
	c.arm(g)
}

// checkFailed repeats a check, but never one that can only fail again.
func (c *core) checkFailed(now time.Time, g *group, asks *watcher, proves *stream, err error, v Verdict) {
	for w := g.first; w != nil; w = w.next {
		if w.placing == beingRead {
			w.placing = unplaced
			c.report(w) // the watch works, only a resume before its first event would not
		}
	}
	switch {
	case v != Fatal || g.st != nil && !g.st.guarded:
		g.due[dueConfirm] = now.Add(checkAgain)
	case proves != nil && g.witness.revision != 0:
		// The user may have lost the permission for the witness's keys.
		g.forgetWitness()
		c.proveEach(now, g)
	case asks.state != stateEnded && asks.g == g:
		c.note(nil, asks, err, "watch ends")
		c.finish(now, asks, nil, err)
	}
	c.check(now, g)
	c.arm(g)
}

// proved ends the watchers whose history is lost, and lets the others resume. Nobody knows where a
// new history parts from the old one. So if the witness is not in it, every watcher that has
// received anything may have received too much.
func (c *core) proved(now time.Time, st *stream, f Finding) {
	g := st.g
	parted := f.Different || f.Revision < g.witness.revision
	for w := g.first; w != nil; {
		next := w.next
		if w.listing == nil && c.judge(now, w, f, parted && w.known > 0) {
			w.trust(g.witness.newest, f)
		}
		w = next
	}
	if parted {
		g.forgetWitness()
	}
	st.unproved = false
	st.shown(f)
	if g.st == st {
		c.flush(now, st)
	}
}

// judge ends w if its history is lost, or if nothing is proved and w can list again. It reports
// whether w goes on. A follower also lists again if what was compacted may reach up to its
// position: etcd 3.4 still takes a watch that begins at the very revision that was compacted, and
// does not send it a deletion of that revision.
func (c *core) judge(now time.Time, w *watcher, f Finding, parted bool) bool {
	switch {
	case parted || f.Revision < w.known || otherCluster(f.ClusterID, w.cluster):
		c.lost(now, w, f)
	case (f.Unproved || f.Compacted && !w.promised) && w.want&wantList != 0 && w.hasHistory():
		c.listAgain(now, w, f)
	default:
		return true
	}
	return false
}

// listAgain ends w as if its revisions were compacted.
func (c *core) listAgain(now time.Time, w *watcher, f Finding) {
	c.note(nil, w, nil, "nothing shows that the history is the same: a follower lists again")
	c.finish(
		now,
		w,
		&pb.WatchResponse{
			Header:          &pb.ResponseHeader{ClusterId: f.ClusterID, Revision: f.Revision},
			CompactRevision: max(w.resume, 1),
		},
		nil,
	)
}

// hasHistory: the watcher was confirmed, or has listed, so it is a watcher of some history.
func (w *watcher) hasHistory() bool { return w.known > 0 || w.cluster != 0 }

func otherCluster(a, b uint64) bool { return a != 0 && b != 0 && a != b }

// place gives w the position rev+1, unless events or its user have given it one.
func (c *core) place(w *watcher, rev int64) {
	w.placing = placed
	switch {
	case rev <= 0 || w.known > 0:
	case w.resume == 0:
		w.resume, w.known = rev+1, rev
	case rev >= w.resume-1:
		w.known = w.resume - 1
	}
	c.report(w)
}

func (c *core) lost(now time.Time, w *watcher, f Finding) {
	cluster := f.ClusterID
	if cluster == 0 {
		cluster = w.cluster
	}
	err := &HistoryLostError{
		LastRevision: w.known,
		ClusterID:    cmp.Or(w.cluster, cluster),
		NowRevision:  f.Revision,
		NowClusterID: cluster,
	}
	c.losses.Add(1)
	c.note(nil, w, err, "watch ends")
	c.finish(now, w, &pb.WatchResponse{Header: &pb.ResponseHeader{ClusterId: cluster, Revision: f.Revision}}, err)
}
