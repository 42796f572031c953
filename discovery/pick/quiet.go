package pick

import (
	"sync/atomic"
	"time"
)

// Quiet: a call shows something about its instance even while it waits. Until the first call ends
// without an answer, a frozen instance would get its share of the calls, for as long as the
// callers' deadlines are. So calls whose kind is usually answered soon are counted while they wait.
// If some have waited all the time, and the instance has answered nothing for a second and more, it
// gets no new calls until it answers one, or all of them have ended, or it is time for a trial.
//
// The instance is not ejected: this process may have been paused, and the answers may be there
// already. And one call may be slow although others of its kind are not. If an instance answers its
// trial while other calls wait for it, these count as slow for a while, and cast no doubt on it.

// quiet is a node's state for that.
type quiet struct {
	since    atomic.Int64 // when calls began to wait
	doubted  atomic.Int64 // what node.trial became when the node was doubted last; 0: not doubted
	believed atomic.Int64 // until when the node is not doubted
}

// belief is how long waiting calls count as slow, and cast no doubt on an instance, after it has
// answered a trial.
const belief = 10 * time.Minute

// waits counts a call whose kind is known, if that is answered soon: long before a second is over.
func (d *Done) waits() {
	usual := d.b.kinds[d.kind-1].expected()
	if d.soon || !d.b.config.eject || usual == 0 || hurry*usual > float64(longSilence) {
		return
	}
	if n := d.n; n.waiting.Load() == 0 && d.began-max(n.answered.Load(), n.since.Load()) >= grain {
		n.since.Store(d.began) // before the call counts, since picks look
	}
	d.n.waiting.Add(1)
	d.soon = true
}

// heard is called at the end of a call that was counted.
func (n *node) heard() {
	if n.waiting.Add(-1) == 0 {
		n.forget()
	}
}

// forget makes the trial of a doubted node due when no call waits for the node any more: none of
// them can clear it then.
func (n *node) forget() {
	if n.doubted.Load() != 0 {
		n.trial.CompareAndSwap(n.doubted.Swap(0), trialDue)
	}
}

// doubtful reports whether a node gets one call at a time at most.
func (b *Balancer) doubtful(n *node, now int64) bool {
	return n.trial.Load() != noTrial || n.waiting.Load() > 0 && n.hushed(now)
}

// hushed reports whether calls wait for a node in vain. If so, it puts the node in doubt.
func (n *node) hushed(now int64) bool {
	silence := now - max(n.answered.Load(), n.since.Load())
	if silence < int64(longSilence) || float64(silence) < hurry*n.expected() || now < n.believed.Load() {
		return false
	}
	if n.trial.CompareAndSwap(noTrial, now) {
		n.doubted.Store(now)
		if n.waiting.Load() == 0 { // the last of them has ended meanwhile
			n.forget()
		}
	}
	return true
}

// cleared handles the outcome of a trial, as of now. Calls that still wait are slow ones.
func (d *Done) cleared(o Outcome, now int64) {
	if o != Success || d.n.doubted.Swap(0) == 0 {
		return
	}
	others := d.n.waiting.Load()
	if d.soon {
		others--
	}
	if others > 0 {
		d.n.believed.Store(now + int64(belief))
	}
}
