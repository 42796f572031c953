package pick

import (
	"time"

	"github.com/fairlead-go/fairlead/discovery"
)

// Hooks report what a balancer does with instances. Each may be nil. They are called from the
// goroutines of calls and of the balancer, concurrently; they must return soon and must not close
// the balancer.
type Hooks struct {
	// Ejected: calls to the instance failed, and it is left out.
	Ejected func(EjectedInfo)
	// Returned: the instance is back, for one call at a time until one has succeeded.
	Returned func(*discovery.Instance)
	// Split: the split of calls has changed. Operators have changed it, or a subset has lost its
	// last live instance, or has one again. The list is empty when calls are no longer split.
	Split func([]SubsetStatus)
	// Attempt: an attempt of a call is over, or has an answer. Packages grpcdisc and httpdisc
	// report theirs, other callers by [Done.Attempt]. It is called for each attempt, which makes
	// each attempt cost more.
	Attempt func(AttemptInfo)
}

// AttemptInfo is about an attempt of a call.
type AttemptInfo struct {
	Instance *discovery.Instance
	// Number counts the attempts of a call from 0.
	Number int
	// Hedge: the attempt was made in addition, beside another one without an answer.
	Hedge bool
	// Outcome is the reported outcome.
	Outcome Outcome
	// Took is the time to its answer or its end; 0 if the balancer does not measure latency, see
	// [WithLatency].
	Took time.Duration
	// Err is why the attempt failed or was given up, nil if it succeeded.
	Err error
}

// Attempt passes an attempt to the hooks, with Instance and Took filled in. Call it after
// [Done.Report] or [Done.Answered], or not at all.
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

// WithHooks adds hooks to those of earlier options.
func WithHooks(h Hooks) Option {
	return func(b *Balancer) {
		b.config.hooks = append(b.config.hooks, h)
		b.config.attempts = b.config.attempts || h.Attempt != nil
	}
}

// reportEjected calls the hooks, without the lock.
func (b *Balancer) reportEjected(i EjectedInfo) {
	for _, h := range b.config.hooks {
		if h.Ejected != nil {
			h.Ejected(i)
		}
	}
}

// reportReturned calls the hooks, without the lock.
func (b *Balancer) reportReturned(list []*discovery.Instance) {
	for _, in := range list {
		for _, h := range b.config.hooks {
			if h.Returned != nil {
				h.Returned(in)
			}
		}
	}
}
