package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// result is the result of a call.
type result struct {
	began      time.Time
	took       time.Duration
	idempotent bool
	err        error
}

// calling makes calls at a steady rate, every other one idempotent.
type calling struct {
	stop context.CancelFunc
	all  sync.WaitGroup
	mu   sync.Mutex
	list []result
}

func startCalls(c *caller, perSecond int) *calling {
	ctx, cancel := context.WithCancel(context.Background())
	l := &calling{stop: cancel}
	l.all.Go(func() {
		next := time.Now()
		for n := 0; ; n++ {
			next = next.Add(time.Second / time.Duration(perSecond))
			timer := time.NewTimer(time.Until(next))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return
			}
			l.all.Go(func() { l.one(c, n%2 == 0) })
		}
	})
	return l
}

func (l *calling) one(c *caller, idempotent bool) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	r := result{began: time.Now(), idempotent: idempotent}
	r.err = c.call(ctx, idempotent)
	r.took = time.Since(r.began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, r)
}

// end stops the calls and returns their results.
func (l *calling) end() results {
	l.stop()
	l.all.Wait()
	return l.list
}

type results []result

// number counts the results for which f is true.
func (l results) number(f func(result) bool) (n int) {
	for _, r := range l {
		if f(r) {
			n++
		}
	}
	return n
}

func failed(r result) bool { return r.err != nil }

// explain prints each kind of error once.
func (t *table) explain(l results, since time.Time) {
	if !t.verbose {
		return
	}
	seen := make(map[string]bool)
	for _, r := range l {
		if r.err != nil && !seen[r.err.Error()] && len(seen) < 10 {
			seen[r.err.Error()] = true
			fmt.Fprintf(
				os.Stderr,
				"  idempotent %t, began %v, took %v: %v\n",
				r.idempotent,
				r.began.Sub(since).Round(time.Millisecond),
				r.took.Round(time.Millisecond),
				r.err,
			)
		}
	}
}
