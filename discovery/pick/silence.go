package pick

// Silence: an instance that stands still (a stopped process, a disk that hangs, a cut network) fails
// nothing, it leaves calls without an answer. Each caller would lose several of them until enough
// had failed in a row. So the first call that waited in vain for long tells on it, if it has answered
// nobody else meanwhile: it is ejected at once. If it has, either one call takes long, or it stood
// still since: then it gets nothing new until one of the calls under way has shown which, or its time has
// come for a trial. So it is with one that must not be ejected since too many are.

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
