package pick

import "context"

// Trials: an ejected instance gets one call at a time until one has succeeded. Otherwise a frozen
// or slowly failing one would draw its whole share of the calls, and keep them, until the first of
// them fails.

// The values of node.trial; above trialDue, when the call under way began.
const (
	noTrial  = 0
	trialDue = 1
)

// try reports whether a call may be made on a node on trial, as of now. It waits for an earlier
// call without an outcome only as long as the node was out the first time: a stream may go on for
// ever.
func (n *node) try(now, patience int64) bool {
	v := n.trial.Load()
	if v == noTrial || v != trialDue && now-v < patience {
		return false
	}
	return n.trial.CompareAndSwap(v, max(now, trialDue+1))
}

// tried handles the outcome of a trial. A success ends the trial; after any other outcome another
// call may follow, and a failure also ejects the node.
func (n *node) tried(o Outcome) {
	if v := n.trial.Load(); v > trialDue && o != Success {
		n.trial.CompareAndSwap(v, trialDue)
	}
}

// admit is for a pick that met a node on trial: it takes the node if a trial is due, else another
// one, if there is one.
func (b *Balancer) admit(ctx context.Context, s *set, n *node, now int64) (taken *node, trial bool) {
	at, patience := b.now(), int64(b.config.ejection.Base)
	for range otherTries {
		if !b.doubtful(n, at) {
			return n, false
		}
		if n.try(at, patience) {
			return n, true
		}
		n = s.choose(ctx, &b.rnd, now)
	}
	return s.any(&b.rnd, func(*node) bool { return true }), false
}
