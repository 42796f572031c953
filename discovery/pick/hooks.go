package pick

import (
	"time"

	"github.com/fairlead-go/fairlead/discovery"
)

// Hooks are told what a balancer does with instances. Each may be nil. They are called from the goroutines of
// calls and of the balancer, concurrently, must return soon and not close the balancer.
type Hooks struct {
	// Ejected: calls to the instance failed, and it is left out.
	Ejected func(EjectedInfo)
	// Returned: the instance is back, for one call at a time until one has succeeded.
	Returned func(*discovery.Instance)
	// Split: calls are split otherwise than before. Operators have changed the split, or a subset has lost
	// its last live instance, or has one again. It is empty when calls are not split any more.
	Split func([]SubsetStatus)
}

// EjectedInfo is about an ejection.
type EjectedInfo struct {
	Instance *discovery.Instance
	For      time.Duration // how long it is left out
	Silent   bool          // it left a call without an answer, rather than fail several
}

// WithHooks adds hooks to those that there are.
func WithHooks(h Hooks) Option {
	return func(b *Balancer) { b.config.hooks = append(b.config.hooks, h) }
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
