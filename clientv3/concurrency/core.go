package concurrency

// This file has a session's knowledge of one of its keys, and decides what to do about it. It has
// no clock, no goroutine and no network: slot.go carries out what next says and reports the
// outcome.
//
// Three things go wrong behind a session's back. A request without an answer is executed late, even
// after later requests for the key were answered. A deletion goes unanswered. Another client
// deletes the key. These rules keep a lock with one owner all the same:
//
//   - The key may exist only with a create revision that is held, or while a request that
//     creates it is under way; else it is deleted, if it is the session's.
//   - Deletions compare the create revision, so one that is executed late does no harm.
//   - A create revision that was given up or is gone is never held again, though an answer
//     that is still under way may name it.
//   - Unseen changes are unknown: whatever ends a watch, the key is looked at again before
//     another watch begins, from there.
//
// The revisions of the table are create revisions of the key.
//
//	input                        held               given up or gone   not known
//	a request is to be sent      it is              waits till gone    it is
//	answer: put, or found        one hold more      send again; if it  held
//	                                                is back: deleted
//	answer: another lease's      refused            refused            refused
//	answer: refused, not put     the request ends, no more
//	no answer                    a doubt: from now on keys that come are looked out for; it may be
//	                             sent again at once, unless the key waits till it is gone
//	an owner lets go             all its holds end, given up; those whose call has not returned
//	                             send again, other owners have lost it
//	a waiter leaves              its hold ends; with the last, given up
//	seen: the key of the session others are lost    deleted again      if in doubt and no request
//	                                                                   is under way: given up
//	seen: deleted, not there     holds lost         gone               -
//	the deletion was answered    -                  gone               -
//	etcd was restored, and the   -                  deleted again if   -
//	key of the session is there                     no request is
//	                                                under way
//	a watch ended: compacted,    unknown: look, then watch from what was seen
//	denied, or for no reason
//	looking or deleting failed:  the same again after a pause; nothing is concluded
//	denied, no answer
//	the session is lost          all ends: every context here derives from Session.life

import (
	"errors"
	"slices"
)

// errAgain: a call must get in line again, because another owner of the session has released the
// key that they would have shared.
var errAgain = errors.New("concurrency: the key was released by another owner of the session")

// hold is one claim on the key.
type hold struct {
	rev     int64 // create revision of the key
	at      int64 // as of this revision the key was there
	since   int   // the input that made it
	guarded bool  // a caller needs to know of its end
	young   bool  // not for long enough to be worth a watch
	taken   bool  // its call has returned: it is owned
	end     ending
}

// ending is how a hold ended.
type ending int

const (
	held     ending = iota
	released        // by its owner
	shared          // another owner of the session released the key
	lost            // the key is gone
)

type core struct {
	inputs    int     // counted
	calls     int     // requests under way that create or adopt the key
	holds     []*hold // those that have not ended
	ended     []*hold // not yet reported; the shell takes them
	doubts    int     // requests without an answer that may yet create the key
	going     int64   // create revision that is to be deleted and may be there; 0: none
	goingAt   int     // the input that made it so
	releasing int     // calls that delete it themselves at present
	failed    bool    // the last deletion failed: it may be done, look first
	dead      int64   // create revisions up to this are given up or gone
	deadAt    int     // the input that said so: requests from before may name them

	// What the last look and the watch since then say; only while sure. Then all changes up
	// to seen are known, and there is the create revision of the session's key then, 0: none.
	sure  bool
	there int64
	seen  int64
	stale int // the input since when a look must have been asked for
}

// step is what is to be done next for the key.
type step struct {
	do    doing
	rev   int64 // of remove: the create revision; of watch: where it begins
	puts  bool  // of watch: puts matter too
	asked int   // of look: to be handed back with what it found
}

type doing int

const (
	idle   doing = iota // nothing, until the next input
	ripen               // wait a while, then call ripe
	wait                // nothing, but stay for the next input
	look                // read the key
	remove              // delete it, comparing the create revision
	watch               // follow it
)

func (k *core) next() step {
	guarded, old := false, false
	for _, h := range k.holds {
		guarded = guarded || h.guarded
		old = old || h.guarded && !h.young
	}
	remains := k.going > 0 && k.releasing == 0
	switch {
	case remains && k.failed:
		return step{do: look, asked: k.inputs}
	case remains:
		return step{do: remove, rev: k.going}
	case k.doubts == 0 && !guarded:
		return step{do: idle}
	case k.doubts == 0 && !old:
		return step{do: ripen}
	case !k.sure:
		return step{do: look, asked: k.inputs}
	case k.doubts > 0 && k.there > k.going && !k.holding(k.there):
		return step{do: wait} // for the requests under way: it may be theirs
	}
	return step{do: watch, rev: k.seen + 1, puts: k.doubts > 0}
}

// empty reports that there is nothing to know about the key.
func (k *core) empty() bool {
	return k.calls == 0 && len(k.holds) == 0 && k.doubts == 0 && k.going == 0 && k.releasing == 0
}

func (k *core) holding(rev int64) bool {
	return slices.ContainsFunc(k.holds, func(h *hold) bool { return h.rev == rev })
}

// finish ends h.
func (k *core) finish(h *hold, why ending) {
	if h.end == held {
		h.end = why
		k.ended = append(k.ended, h)
	}
	k.holds = slices.DeleteFunc(k.holds, func(o *hold) bool { return o == h })
}

// lose ends all holds for which gone is true, because the key is.
func (k *core) lose(gone func(*hold) bool) {
	for _, h := range slices.Clone(k.holds) {
		if gone(h) {
			k.bury(h.rev)
			k.finish(h, lost)
		}
	}
}

// bury: create revisions up to rev are not held any more.
func (k *core) bury(rev int64) {
	k.dead, k.deadAt = max(k.dead, rev), k.inputs
}

// giveUp: the key with that create revision is to be deleted.
func (k *core) giveUp(rev int64) {
	k.bury(rev)
	if rev > k.going {
		k.going, k.goingAt, k.failed = rev, k.inputs, false
	}
}

// settle draws what follows from an input; every input ends with it.
func (k *core) settle() {
	late := k.sure && k.doubts > 0 && k.calls == 0 && k.there > k.going && !k.holding(k.there)
	if late {
		if k.there > k.dead {
			k.doubts-- // one of them came
		}
		k.giveUp(k.there)
	}
	if k.next().do == idle {
		k.sure = false // the key is no longer looked at
	}
}

// begin notes a request that creates or adopts the key, and returns the number that answered takes.
// It returns false if the request has to wait, because the key is about to be deleted.
func (k *core) begin() (asked int, ok bool) {
	if k.going > 0 {
		return 0, false
	}
	k.inputs++
	k.calls++
	return k.inputs, true
}

// answered: the request asked has put the key, or found it, with that create revision and as of
// revision at. ours: it is the session's. The error is errAgain if the request is to be sent
// again, ErrLocked if the key is another's.
func (k *core) answered(asked int, rev, at int64, ours bool) (*hold, error) {
	k.inputs++
	k.calls--
	defer k.settle()
	k.lose(func(h *hold) bool { return h.rev < rev })
	switch {
	case !ours:
		return nil, ErrLocked
	case rev <= k.dead && asked <= k.deadAt, k.sure && at <= k.seen && rev != k.there:
		return nil, errAgain
	case rev <= k.dead && rev < at:
		// A request sent after the end of that revision found the key and did not put it: etcd was
		// restored from a backup that has the released key. Others may have owned since.
		k.giveUp(rev)
		return nil, errAgain
	}
	h := &hold{rev: rev, at: at, since: k.inputs, guarded: true, young: true}
	k.holds = append(k.holds, h)
	if !k.sure {
		k.sure, k.there, k.seen = true, rev, at
	}
	return h, nil
}

// refused: the request was executed, or cannot be any more, and gave no key.
func (k *core) refused() {
	k.inputs++
	k.calls--
	k.settle()
}

// unanswered: the request may be executed later.
func (k *core) unanswered() {
	k.inputs++
	k.calls--
	k.doubts++
	k.settle()
}

// repeat: the request may be executed later, and is sent again. Without a pause between the two
// the key that it may have put keeps its place. It returns what begin does.
func (k *core) repeat() (asked int, ok bool) {
	if k.going > 0 {
		k.unanswered()
		return 0, false
	}
	k.inputs++
	k.doubts++
	k.settle()
	return k.inputs, true
}

// resume makes a hold of a key that may or may not exist.
func (k *core) resume(rev int64) *hold {
	k.inputs++
	h := &hold{rev: rev, at: rev, since: k.inputs, guarded: true}
	k.holds = append(k.holds, h)
	k.sure, k.stale = false, k.inputs
	return h
}

// guard: a caller needs to know of the end of h again, or no caller does.
func (k *core) guard(h *hold, needed bool) {
	k.inputs++
	h.guarded, h.young = needed, false
	k.sure = k.sure && !needed
	k.settle()
}

// ripe: the young holds are worth a watch now.
func (k *core) ripe() {
	k.inputs++
	for _, h := range k.holds {
		h.young = false
	}
	k.settle()
}

// release: the owner lets go, and is about to delete the key itself.
func (k *core) release(h *hold) {
	k.inputs++
	k.releasing++
	k.finish(h, released)
	for _, o := range slices.Clone(k.holds) {
		if o.rev == h.rev {
			k.finish(o, shared)
		}
	}
	k.giveUp(h.rev)
	k.settle()
}

// releaseEnded: that deletion is over; if it failed, it is taken over.
func (k *core) releaseEnded(failed bool) {
	k.inputs++
	k.releasing--
	k.failed = k.failed || failed
	k.settle()
}

// leave: the owner of h gives it up. It reports whether that was the last on the key.
func (k *core) leave(h *hold) bool {
	k.inputs++
	defer k.settle()
	if h.end != held {
		return false
	}
	k.finish(h, released)
	if k.holding(h.rev) {
		return false
	}
	k.giveUp(h.rev)
	return true
}

// missing: a transaction found that there is no key with that create revision.
func (k *core) missing(rev int64) {
	k.inputs++
	k.lose(func(h *hold) bool { return h.rev == rev })
	k.sure = false
	k.settle()
}

// removed: a deletion of that create revision was executed at revision at; was: it was there.
func (k *core) removed(rev, at int64, was bool) {
	k.inputs++
	if k.going == rev {
		k.going, k.failed = 0, false
	}
	if was {
		k.lose(func(h *hold) bool { return h.rev < at })
		if !k.sure || at > k.seen { // a look may have seen what came after it
			k.sure, k.there, k.seen = true, 0, at
		}
	} else {
		k.sure = false
	}
	k.settle()
}

// removeFailed: it is unknown whether the deletion will be executed.
func (k *core) removeFailed() {
	k.inputs++
	k.failed = true
	k.settle()
}

// looked: the requested look found the key with that create revision, 0 for none, as of revision
// at. ours: it is attached to the session's lease.
func (k *core) looked(asked int, at, rev int64, ours bool) {
	k.inputs++
	k.lose(func(h *hold) bool { return h.rev != rev && (h.since <= asked || h.at <= at) })
	if k.going > 0 && k.goingAt <= asked {
		k.failed = false
		if k.going != rev {
			k.going = 0
		}
	}
	if !k.sure || at > k.seen { // an answer may have seen what came after it
		k.sure, k.there, k.seen = asked >= k.stale, k.own(rev, ours), at
	}
	k.settle()
}

// own returns the create revision if that key is the session's, else 0.
func (k *core) own(rev int64, ours bool) int64 {
	if ours || rev == k.going || k.holding(rev) {
		return rev
	}
	return 0
}

// put: the watch has shown that the key was put at that revision.
func (k *core) put(at, rev int64, ours bool) {
	k.inputs++
	k.lose(func(h *hold) bool { return h.rev < rev })
	k.there, k.seen = k.own(rev, ours), at
	k.settle()
}

// deleted: the watch has shown that the key was deleted at that revision.
func (k *core) deleted(at int64) {
	k.inputs++
	k.lose(func(h *hold) bool { return h.rev < at })
	k.bury(at)
	if k.going < at {
		k.going, k.failed = 0, false
	}
	k.there, k.seen = 0, at
	k.settle()
}

// back: etcd was restored, and the key is there with that create revision, attached to the
// session's lease.
func (k *core) back(rev int64) {
	k.inputs++
	if rev <= k.dead && k.calls == 0 && !k.holding(rev) { // a call under way finds it itself
		k.giveUp(rev)
	}
	k.settle()
}

// watchEnded: whatever the reason, changes since then are unknown.
func (k *core) watchEnded() {
	k.inputs++
	k.sure = false
	k.settle()
}
