package load

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestDrive(t *testing.T) {
	refused := errors.New("refused")
	calls := Drive(
		context.Background(),
		Plan{
			Rate:     1000,
			For:      100 * time.Millisecond,
			Deadline: time.Second,
			Do: func(_ context.Context, i int) (bool, error) {
				if i%4 == 3 {
					return true, refused
				}
				return i%2 == 1, nil
			},
		},
	)
	reads, writes := calls.Of(false), calls.Of(true)
	if len(calls) != 100 || len(reads) != 50 || len(writes.Failed()) != 25 || writes.FailedShare() != 50 ||
		reads.FailedShare() != 0 {
		t.Errorf("%d calls, %d reads, %d failed writes", len(calls), len(reads), len(writes.Failed()))
	}
	first := calls[0].Made
	for _, c := range calls {
		if c.Made.Before(first) {
			first = c.Made
		}
	}
	if n := len(calls.After(first)); n != 99 {
		t.Errorf("%d calls after the first", n)
	}
	if last := calls.Last(first); last <= 0 || last > 10*time.Second {
		t.Errorf("the last after %v", last)
	}
}

func TestQuantile(t *testing.T) {
	l := Calls{{Took: 3}, {Took: 1}, {Took: 2}, {Took: 100, Err: errors.New("failed")}}
	if l.Quantile(0) != 1 || l.Quantile(0.5) != 2 || l.Quantile(1) != 3 || (Calls{}).Quantile(0.5) != 0 {
		t.Errorf("%v, %v, %v", l.Quantile(0), l.Quantile(0.5), l.Quantile(1))
	}
}

// Without a length, calls are made until the context ends. Those under way are not cut short.
func TestDriveUntilContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	calls := Drive(ctx, Plan{Rate: 100, Deadline: time.Minute, Do: func(c context.Context, i int) (bool, error) {
		if i == 3 {
			cancel()
		}
		return false, c.Err()
	}})
	if len(calls) < 4 || len(calls.Failed()) != 0 {
		t.Errorf("%d calls, %d failed", len(calls), len(calls.Failed()))
	}
}
