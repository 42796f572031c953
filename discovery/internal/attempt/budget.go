package attempt

import "sync/atomic"

const (
	// retryCost is what a retry costs in calls: when everything fails, retries add a
	// fifth to the load, and not two thirds.
	retryCost = 5
	// retryBurst is for an instance that dies with hundreds of calls under way.
	retryBurst = 1000
	// hedgeCost: hedging is for the slowest few calls. When all are slow, it adds a twentieth.
	hedgeCost = 20
	// hedgeBurst is for an instance that freezes, until it is ejected.
	hedgeBurst = 100
)

// Budget bounds the attempts beyond the first of each call. It is safe for concurrent use.
type Budget struct {
	tokens     atomic.Int64
	cost, most int64
}

func newBudget(cost, burst int64) *Budget {
	b := &Budget{cost: cost, most: cost * burst}
	b.tokens.Store(b.most)
	return b
}

// Retries is a budget for retries: one for five calls, after a burst of 1000.
func Retries() *Budget { return newBudget(retryCost, retryBurst) }

// Hedges is a budget for hedges: one for twenty calls, after a burst of 100.
func Hedges() *Budget { return newBudget(hedgeCost, hedgeBurst) }

// Earn adds a call's share. Concurrent calls may exceed the bound by a few, which does no harm.
func (b *Budget) Earn() {
	if b.tokens.Load() < b.most {
		b.tokens.Add(1)
	}
}

// spend pays for one more attempt; false if the budget is used up.
func (b *Budget) spend() bool {
	if b.tokens.Add(-b.cost) >= 0 {
		return true
	}
	b.tokens.Add(b.cost)
	return false
}
