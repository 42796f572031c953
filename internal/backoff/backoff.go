// Package backoff computes waiting times between repeated tries: exponential
// with full jitter, so that many clients that failed together do not return
// together (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
// 2015).
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Policy says how waits grow. The zero value does not wait.
type Policy struct {
	Base time.Duration // upper bound of the first wait
	Max  time.Duration // upper bound of any wait; no bound if zero
}

// Ceiling returns the longest wait before try number n, where n counts from 0.
func (p Policy) Ceiling(n int) time.Duration {
	d := p.Base
	for range n {
		if p.Max > 0 && d >= p.Max {
			break
		}
		if d > 1<<61 { // the next doubling would overflow
			break
		}
		d *= 2
	}
	if p.Max > 0 && d > p.Max {
		d = p.Max
	}
	return d
}

// Wait draws the wait before try number n, evenly from [0, Ceiling(n)].
func (p Policy) Wait(n int) time.Duration {
	c := p.Ceiling(n)
	if c <= 0 {
		return 0
	}
	return rand.N(c + 1)
}

// Sleep waits for d or until ctx ends, and returns ctx's error in that case.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
