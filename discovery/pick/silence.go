package pick

import "time"

// Silence: an instance that stands still (a stopped process, a disk that hangs, a cut network)
// fails nothing, it leaves calls without an answer. Each caller would lose several of them until
// enough had failed in a row. So the first call that waited in vain for long tells on it, if it has
// answered nobody else meanwhile: it is ejected at once. If it has, either one call takes long, or
// it stood still since: then it gets nothing new until one of the calls under way has shown which,
// or its time has come for a trial. So it is with one that must not be ejected since too many are.
//
// Whether a call waits in vain depends on the call: a method that takes its time, or has no answer
// until its caller's time is up, as a long poll, would discredit instances that answer all others.
// So calls are compared with their kind, and a kind that nobody has answered yet proves nothing.

// kinds is how many kinds of calls are distinguished; more share.
const kinds = 256

// blame is what it says of an instance that a call which took so long until its caller's time was
// up had no answer: the instance takes so long usually, and its kind of calls, in nanoseconds; 0 is
// not known.
func blame(took time.Duration, instance, kind float64) (o Outcome, silent bool) {
	switch {
	case instance == 0:
		return Failure, false
	case kind == 0 || float64(took) < hurry*max(instance, kind):
		return Ignored, false
	}
	return Failure, took >= longSilence
}

// silent takes a call from began to now that had no answer.
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

// spoke takes an answer, as of now.
func (n *node) spoke(now int64) {
	if now > 0 {
		n.answered.Store(now)
	}
	if n.fails.Load() != 0 {
		n.fails.Store(0)
	}
	if n.trial.Load() != noTrial {
		n.trial.Store(noTrial)
	}
}
