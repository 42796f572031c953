package pick

import (
	"time"

	"github.com/fairlead-go/fairlead/discovery"
)

// Hooks show what a balancer does with instances. Each may be nil. They are called from the
// goroutines of calls and of the balancer, concurrently, must return soon and not close the
// balancer.
type Hooks struct {
	// Ejected: calls to the instance failed, and it is left out.
	Ejected func(EjectedInfo)
	// Returned: the instance is back, for one call at a time until one has succeeded.
	Returned func(*discovery.Instance)
	// Split: calls are split otherwise than before. Operators have changed the split, or a subset
	// has lost its last live instance, or has one again. It is empty when calls are not split any
	// more.
	Split func([]SubsetStatus)
	// Attempt: an attempt of a call is over, or has an answer. Packages grpcdisc and httpdisc
	// report theirs, other callers by [Done.Attempt]. It is called for each attempt, so each costs
	// more.
	Attempt func(AttemptInfo)
}

// AttemptInfo is about an attempt of a call.
type AttemptInfo struct {
	Instance *discovery.Instance
	// Number counts the attempts of a call from 0.
	Number int
	// Hedge: it was made beside another one that had no answer yet, in addition.
	Hedge bool
	// Outcome is what it was reported as.
	Outcome Outcome
	// Took is how long it took to its answer or its end; 0 if the balancer does not measure
	// latency, see WithLatency.
	Took time.Duration
	// Err is why it failed or was given up, nil if it did not.
	Err error
}

// Attempt tells the hooks of an attempt, of which Instance and Took are filled in. It is called
// after Report or Answered, or not at all.
func (d Done) Attempt(i AttemptInfo) {
	if d.b == nil || !d.b.config.attempts {
		return
	}
	i.Instance = d.n.in.Load()
	if d.b.needs&needsLatency != 0 {
		i.Took = time.Duration(d.b.now() - d.began)
	}
	for _, h := range d.b.config.hooks {
		if h.Attempt != nil {
			h.Attempt(i)
		}
	}
}

// EjectedInfo is about an ejection.
type EjectedInfo struct {
	Instance *discovery.Instance
	For      time.Duration // how long it is left out
	Silent   bool          // it left a call without an answer, rather than fail several
}

// WithHooks adds hooks to those that there are.
func WithHooks(h Hooks) Option {
	return func(b *Balancer) {
		b.config.hooks = append(b.config.hooks, h)
		b.config.attempts = b.config.attempts || h.Attempt != nil
	}
}

// tellEjected is called without the lock.
func (b *Balancer) tellEjected(i EjectedInfo) {
	for _, h := range b.config.hooks {
		if h.Ejected != nil {
			h.Ejected(i)
		}
	}
}

// tellReturned is called without the lock.
func (b *Balancer) tellReturned(list []*discovery.Instance) {
	for _, in := range list {
		for _, h := range b.config.hooks {
			if h.Returned != nil {
				h.Returned(in)
			}
		}
	}
}
