package pick

import (
	"time"

	"github.com/fairlead-go/fairlead/discovery"
)

// Status is the state of an instance in a balancer; see [Balancer.Statuses].
type Status struct {
	Instance    *discovery.Instance
	Ready       bool          // as Update said
	Ejected     bool          // left out since calls failed
	Until       time.Time     // when it comes back, if it is ejected
	Trial       bool          // back after that, or in doubt: one call at a time, until one has succeeded
	Share       float64       // the part of its weight that it gets now; below 1 while it warms up
	Outstanding int           // calls under way, if the policy counts them
	Latency     time.Duration // expected; 0 if unknown or not measured
}

// Statuses returns the state of all instances in the order in which they were listed, draining ones
// included.
func (b *Balancer) Statuses() []Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]Status, 0, len(b.order))
	for _, n := range b.order {
		st := Status{
			Instance: n.in.Load(), Ready: n.ready, Ejected: n.ejected, Trial: !n.ejected && n.trial.Load() != noTrial,
			Share:       n.warm,
			Outstanding: int(n.load()), Latency: time.Duration(n.expected()),
		}
		if n.ejected {
			st.Until = b.epoch.Add(time.Duration(n.until))
		}
		list = append(list, st)
	}
	return list
}
