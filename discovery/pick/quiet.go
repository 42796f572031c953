package pick

import (
	"sync/atomic"
	"time"
)

// Quiet: a call that waits tells too. Until the first one ends without an answer, an instance that
// stands still draws its share of the calls, which is for as long as the callers' deadlines are. So
// calls whose kind is answered soon are counted while they wait. When there were some all the time,
// and the instance has answered nobody for a second and more, it gets no new ones until it answers
// somebody, or they have ended, or it is time for a trial.
//
// It is not ejected: this process may have stood still, and the answers be there already. And a call
// may be slow though others of its kind are not. An instance that answers its trial while it lets
// others wait is believed for a while.

// quiet is what a node has for that.
type quiet struct {
	since    atomic.Int64 // when calls began to wait
	doubted  atomic.Int64 // what trial became when it was doubted last; 0: not doubted
	believed atomic.Int64 // until when it is
}

// belief is how long an instance is believed that its calls take their time.
const belief = 10 * time.Minute

// waits counts a call that has its kind, if that is answered soon: long before a second is over.
func (d Done) waits() Done {
	usual := d.b.kinds[d.kind-1].expected()
	if d.soon || !d.b.config.eject || usual == 0 || hurry*usual > float64(longSilence) {
		return d
	}
	if d.n.waiting.Load() == 0 { // before it counts, since picks look
		d.n.since.Store(d.began)
	}
	d.n.waiting.Add(1)
	d.soon = true
	return d
}

// heard is for the end of a call that counted.
func (n *node) heard() {
	if n.waiting.Add(-1) == 0 && n.doubted.Load() != 0 {
		n.trial.CompareAndSwap(n.doubted.Swap(0), trialDue) // there is nobody left to hear from
	}
}

// doubtful reports that a node gets one call at a time at most.
func (b *Balancer) doubtful(n *node, now int64) bool {
	return n.trial.Load() != noTrial || n.waiting.Load() > 0 && b.hushed(n, now)
}

// hushed reports that calls wait for a node in vain, which is in doubt from now on.
func (b *Balancer) hushed(n *node, now int64) bool {
	silence := now - max(n.answered.Load(), n.since.Load())
	if silence < int64(longSilence) || float64(silence) < hurry*n.expected() || now < n.believed.Load() {
		return false
	}
	if n.trial.CompareAndSwap(noTrial, now) {
		n.doubted.Store(now)
	}
	return true
}

// cleared takes the outcome of a trial, as of now. Calls that still wait are slow ones.
func (d Done) cleared(o Outcome, now int64) {
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
