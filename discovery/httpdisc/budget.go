package httpdisc

import "sync/atomic"

const (
	// retryCost is what a retry costs in requests: when everything fails, retries add a
	// fifth to the load, and not two thirds.
	retryCost = 5
	// burst is for an instance that dies with hundreds of requests under way.
	burst = 1000 * retryCost
)

// budget bounds retries for all requests of a transport.
type budget struct{ tokens atomic.Int64 }

// earn is for a request. The bound may be passed by a few, which does no harm.
func (b *budget) earn() {
	if b.tokens.Load() < burst {
		b.tokens.Add(1)
	}
}

// spend is for a retry; false if there is nothing left.
func (b *budget) spend() bool {
	if b.tokens.Add(-retryCost) >= 0 {
		return true
	}
	b.tokens.Add(retryCost)
	return false
}
