package load

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Call is one call and how it ended.
type Call struct {
	Write bool
	Made  time.Time
	Took  time.Duration
	Err   error
}

// Plan says which calls to make.
type Plan struct {
	Rate     int           // calls per second
	For      time.Duration // 0: until the context ends
	Deadline time.Duration // of each call
	// Do makes call i and returns whether it was a write.
	Do func(ctx context.Context, i int) (write bool, err error)
}

// Mixed returns a Do that makes half reads and half writes on twenty keys.
func Mixed(c Client) func(context.Context, int) (bool, error) {
	return func(ctx context.Context, i int) (bool, error) {
		key := fmt.Sprint("load/", i%20)
		if i%2 == 0 {
			return false, c.Get(ctx, key)
		}
		return true, c.Put(ctx, key, "v")
	}
}

// Drive makes the calls of a plan. No call waits for another. Drive returns when all have ended;
// those under way when ctx ends are not cut short.
func Drive(ctx context.Context, p Plan) Calls {
	var mu sync.Mutex
	var list Calls // guarded by mu
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(p.Rate))
	defer tick.Stop()
	total := int(p.For.Seconds() * float64(p.Rate))
	for i := 0; p.For == 0 || i < total; i++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			wg.Wait()
			return list
		}
		wg.Go(func() {
			cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.Deadline)
			defer cancel()
			made := time.Now()
			write, err := p.Do(cctx, i)
			c := Call{Write: write, Made: made, Took: time.Since(made), Err: err}
			mu.Lock()
			defer mu.Unlock()
			list = append(list, c)
		})
	}
	wg.Wait()
	return list
}

// Calls are the calls of one measurement.
type Calls []Call

// Of returns the reads or the writes.
func (l Calls) Of(write bool) Calls {
	return l.where(func(c Call) bool { return c.Write == write })
}

// Failed returns the failed calls.
func (l Calls) Failed() Calls { return l.where(func(c Call) bool { return c.Err != nil }) }

// After returns the calls made after t.
func (l Calls) After(t time.Time) Calls {
	return l.where(func(c Call) bool { return c.Made.After(t) })
}

// Before returns the calls made before t.
func (l Calls) Before(t time.Time) Calls {
	return l.where(func(c Call) bool { return c.Made.Before(t) })
}

func (l Calls) where(fits func(Call) bool) Calls {
	var list Calls
	for _, c := range l {
		if fits(c) {
			list = append(list, c)
		}
	}
	return list
}

// FailedShare returns the percentage of calls that failed.
func (l Calls) FailedShare() float64 {
	return 100 * float64(len(l.Failed())) / float64(max(len(l), 1))
}

// Last returns how long after t the last of the calls was made, 0 if there is none.
func (l Calls) Last(t time.Time) time.Duration {
	var last time.Duration
	for _, c := range l {
		last = max(last, c.Made.Sub(t))
	}
	return last
}

// Quantile returns a quantile of the durations of the calls that succeeded; q is between 0 and 1.
// It returns 0 if none succeeded.
func (l Calls) Quantile(q float64) time.Duration {
	var took []time.Duration
	for _, c := range l {
		if c.Err == nil {
			took = append(took, c.Took)
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[int(q*float64(len(took)-1))]
}
