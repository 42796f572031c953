package pick

import "time"

// Silence: a frozen instance (a stopped process, a disk that hangs, a cut network) fails no call;
// it leaves calls without an answer. Each caller would lose several of them until enough had failed
// in a row. So the first call that waited long in vain ejects it at once, if it has answered no
// other call meanwhile. If it has, either one call takes long, or it froze since then: it gets no
// new call until one of the calls under way has shown which, or its time has come for a trial. The
// same holds for an instance that must not be ejected because too many are.
// Whether a call waits in vain depends on the call: a slow method, or one without an answer until
// its caller's time is up, as a long poll, would discredit instances that answer all others. So
// calls are compared with their kind, and a kind that was never answered proves nothing.

// kinds is how many kinds of calls are distinguished; beyond it several share one.
const kinds = 256

// blame returns what it says about an instance that a call had no answer within took, when its
// caller's time was up. instance and kind are the usual latencies of the instance and of the call's
// kind, in nanoseconds; 0 is unknown.
func blame(took time.Duration, instance, kind float64) (o Outcome, silent bool) {
	switch {
	case instance == 0:
		return Failure, false
	case kind == 0 || float64(took) < hurry*max(instance, kind):
		return Ignored, false
	}
	return Failure, took >= longSilence
}

// silent handles a call from began to now that had no answer.
func (b *Balancer) silent(n *node, began, now int64) {
	if !b.config.eject {
		return
	}
	if n.answered.Load() > began+(now-began)/2 {
		b.failed(n)
	} else if n.fails.Add(1); b.eject(n, true) {
		return
	}
	n.trial.Store(max(now, trialDue+1))
}

// spoke handles an answer, as of now.
func (n *node) spoke(now int64) {
	if now-n.answered.Load() >= grain {
		n.answered.Store(now)
	}
	if n.fails.Load() != 0 {
		n.fails.Store(0)
	}
	if n.trial.Load() != noTrial {
		n.trial.Store(noTrial)
	}
}
