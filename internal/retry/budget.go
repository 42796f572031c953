package retry

import (
	"math"
	"sync/atomic"
	"time"
)

// budget is a bucket of tokens that calls fill and extra requests empty. One
// bucket serves a whole client, so that trouble does not multiply its load.
type budget struct {
	_ [0]func() // not comparable, see balancer.conn

	tokens atomic.Int64 // in thousandths
	max    int64
	earn   int64 // per call
}

func newBudget(burst int, perCall float64) *budget {
	b := &budget{max: int64(burst) * 1000, earn: int64(perCall * 1000)}
	b.tokens.Store(b.max)
	return b
}

// call credits one ordinary call.
func (b *budget) call() {
	if t := b.tokens.Load(); t < b.max {
		b.tokens.CompareAndSwap(t, min(t+b.earn, b.max)) // losing a race costs a fraction of a token
	}
}

// take spends one token and reports whether there was one.
func (b *budget) take() bool {
	for {
		t := b.tokens.Load()
		if t < 1000 {
			return false
		}
		if b.tokens.CompareAndSwap(t, t-1000) {
			return true
		}
	}
}

// Budgets of one client.
const (
	// Hedges: at most 5 % of calls after a burst of 100, so that a cluster that
	// is slow as a whole gets little more load from our impatience. See also lateHedge.
	hedgeBurst   = 100
	hedgePerCall = 0.05
	// Retries: at most one for every five calls after a burst of 100. A call that
	// finds the bucket empty waits for about as long as the longest wait before it repeats.
	retryBurst   = 100
	retryPerCall = 0.2
)

// delay learns how long a short read takes at most in ordinary times: about the
// 99th percentile, by moving up 99 times as far for a slower one as down for a
// faster one (stochastic approximation of a quantile, Robbins and Monro 1951).
type delay struct{ nanos atomic.Uint64 }

const (
	// hedgeMin is longer than a garbage collection pause or a scheduling delay.
	hedgeMin = 20 * time.Millisecond
	// hedgeMax is when a member is in doubt anyway.
	hedgeMax     = 200 * time.Millisecond
	hedgeInitial = 100 * time.Millisecond
)

func (d *delay) observe(took time.Duration) {
	v := math.Float64frombits(d.nanos.Load())
	if v == 0 {
		v = float64(hedgeInitial)
	}
	const step = 0.05
	if float64(took) > v {
		v *= 1 + step*0.99
	} else {
		v *= 1 - step*0.01
	}
	v = min(max(v, float64(hedgeMin)/4), float64(hedgeMax))
	d.nanos.Store(math.Float64bits(v)) // a lost update is one sample less
}

// get returns how long to wait before a second request is sent.
func (d *delay) get() time.Duration {
	v := time.Duration(math.Float64frombits(d.nanos.Load()))
	if v == 0 {
		v = hedgeInitial
	}
	return min(max(2*v, hedgeMin), hedgeMax)
}
