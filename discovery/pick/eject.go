package pick

import (
	"cmp"
	"math"
	"time"
)

// Ejection says when instances are left out because calls to them fail; see [WithEjection]. Zero
// fields stand for the defaults.
type Ejection struct {
	// Failures is how many failures in a row eject an instance; [DefaultFailures].
	Failures int
	// Base is how long an instance is out the first time, [DefaultBase]. Each ejection that follows
	// soon doubles it, up to Max: [DefaultMax], or Base if that is longer.
	Base, Max time.Duration
	// Share is the part of the instances that may be out at a time, above 0 and up to 1;
	// [DefaultShare]. One instance may always be out, and the last one never.
	Share float64
}

const (
	// DefaultFailures is more than the few calls that meet a restart, and not many more.
	DefaultFailures = 5
	// DefaultBase is about the time of a restart.
	DefaultBase = 10 * time.Second
	// DefaultMax bounds how long an instance that works again stays unused.
	DefaultMax = 5 * time.Minute
	// DefaultShare: when more than half of the instances fail, the cause is more likely a common
	// dependency, or the caller, and the rest would be overloaded.
	DefaultShare = 0.5
)

// Validate returns what is wrong with the fields, nil if nothing is. The error wraps
// [discovery.ErrInvalid].
func (e Ejection) Validate() error {
	switch {
	case e.Failures < 0 || e.Failures > math.MaxInt32:
		return invalid("an instance is ejected after %d failures", e.Failures)
	case e.Base < 0 || e.Max < 0 || e.Max > 0 && e.Base > e.Max:
		return invalid("an ejection lasts %v at first and %v at most", e.Base, e.Max)
	case !(e.Share >= 0 && e.Share <= 1): // or not a number
		return invalid("a share of %v of the instances may be ejected", e.Share)
	}
	return nil
}

func (e Ejection) orDefaults() Ejection {
	return Ejection{
		Failures: cmp.Or(e.Failures, DefaultFailures),
		Base:     cmp.Or(e.Base, DefaultBase),
		Max:      cmp.Or(e.Max, max(DefaultMax, e.Base)),
		Share:    cmp.Or(e.Share, DefaultShare),
	}
}

// failed counts a failed call. The lock is taken once in Failures failures.
func (b *Balancer) failed(n *node) {
	if b.config.eject && n.fails.Add(1)%int32(b.config.ejection.Failures) == 0 {
		b.eject(n, false)
	}
}

// eject leaves a node out, if it may; it reports whether it is out.
func (b *Balancer) eject(n *node, silent bool) bool {
	is, d := b.leaveOut(n)
	if d > 0 {
		b.reportEjected(EjectedInfo{Instance: n.in.Load(), For: d, Silent: silent})
	}
	return is
}

// leaveOut reports whether the node is out, and for how long if it was not yet.
func (b *Balancer) leaveOut(n *node) (is bool, d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := &b.config.ejection
	limit := min(max(int(e.Share*float64(b.cands)), 1), b.cands-1)
	if n.ejected || n.gen != b.gen {
		return true, 0 // already, or gone
	}
	if b.out >= limit {
		return false, 0 // one of too many: it may be next
	}
	now := b.now()
	if n.out > 0 && time.Duration(now-n.back) < n.out {
		n.out = min(2*n.out, e.Max)
	} else { // it has worked for as long as it was out
		n.out = min(e.Base, e.Max)
	}
	n.ejected, n.until = true, now+int64(n.out)
	n.trial.Store(max(now, trialDue+1)) // so that picks skip it until there is a set without it
	b.out++
	b.wake()
	return true, n.out
}

// pardon lets an ejected node back on trial when its time has come, and returns how long that is
// off. Then its first failed call ejects it again, and its first success clears it.
func (b *Balancer) pardon(n *node, now int64) time.Duration {
	if !n.ejected {
		return never
	}
	if now < n.until {
		return time.Duration(n.until - now)
	}
	n.ejected, n.back = false, now
	n.fails.Store(int32(b.config.ejection.Failures) - 1)
	n.trial.Store(trialDue)
	b.returned = append(b.returned, n.in.Load())
	return never
}
