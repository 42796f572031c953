package backoff

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func TestCeilingDoublesUpToMax(t *testing.T) {
	p := Policy{Base: 10 * time.Millisecond, Max: 55 * time.Millisecond}
	for n, want := range []time.Duration{10, 20, 40, 55, 55} {
		if got := p.Ceiling(n); got != want*time.Millisecond {
			t.Errorf("Ceiling(%d) = %v, want %v", n, got, want*time.Millisecond)
		}
	}
	if got := (Policy{Base: time.Second}).Ceiling(1000); got <= 0 {
		t.Errorf("an unbounded policy overflowed: %v", got)
	}
}

func TestWaitStaysWithinCeilingAndSpreads(t *testing.T) {
	p := Policy{Base: time.Second, Max: time.Second}
	low, high := 0, 0
	for range 1000 {
		w := p.Wait(0)
		if w < 0 || w > time.Second {
			t.Fatalf("wait %v outside [0, 1s]", w)
		}
		if w < time.Second/2 {
			low++
		} else {
			high++
		}
	}
	if low == 0 || high == 0 {
		t.Fatalf("full jitter should fill the whole range, got %d low and %d high", low, high)
	}
}

func TestSleepEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Sleep(ctx, time.Hour); err != context.Canceled {
		t.Fatalf("got %v, want context.Canceled", err)
	}
	if err := Sleep(context.Background(), time.Microsecond); err != nil {
		t.Fatal(err)
	}
}

func ExamplePolicy_Ceiling() {
	p := Policy{Base: 100 * time.Millisecond, Max: time.Second}
	for n := range 5 {
		fmt.Print(p.Ceiling(n), " ")
	}
	// Output: 100ms 200ms 400ms 800ms 1s
}
