package attempt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errFailed = errors.New("failed")

// step is what an attempt does: it waits for its instance, takes its time, and gives a result.
type step struct {
	waits, takes time.Duration
	verdict      Verdict
	err          error
}

// script runs a call by steps. It returns which attempt won and when, and what was dropped, and
// waits for all attempts.
func script(
	t *testing.T,
	ctx context.Context,
	p Plan,
	steps ...step,
) (won int, took time.Duration, ends []End, err error) {
	t.Helper()
	if p.Retries == nil {
		p.Retries, p.Hedges = Retries(), Hedges()
	}
	var mu sync.Mutex
	var dropped []int
	values := 0
	attempts := make([]*Attempt, len(steps))
	var all sync.WaitGroup
	try := func(ctx context.Context, a *Attempt) Result[int] {
		all.Add(1)
		defer all.Done()
		s := steps[a.Number]
		attempts[a.Number] = a
		if s.verdict == None {
			return Result[int]{Err: s.err, Verdict: None}
		}
		wait := func(d time.Duration) bool {
			select {
			case <-time.After(d):
				return true
			case <-ctx.Done():
				return false
			}
		}
		ok := wait(s.waits)
		if ok {
			a.Begun()
			a.Begun()
			ok = wait(s.takes)
		}
		if !ok {
			return Result[int]{Err: fmt.Errorf("attempt %d: %w", a.Number, ctx.Err()), Verdict: Again}
		}
		mu.Lock()
		defer mu.Unlock()
		values++
		return Result[int]{Value: a.Number + 1, Err: s.err, Verdict: s.verdict}
	}
	begin := time.Now()
	r := Run(ctx, p, try, func(r Result[int]) {
		if r.Value == 0 {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if slices.Contains(dropped, r.Value) {
			t.Errorf("attempt %d is dropped twice", r.Value)
		}
		dropped = append(dropped, r.Value)
	})
	took = time.Since(begin)
	all.Wait()
	synctest.Wait()
	mu.Lock()
	defer mu.Unlock()
	kept := values
	if r.Value > 0 {
		kept--
	}
	if slices.Contains(dropped, r.Value) && r.Value > 0 || len(dropped) != kept {
		t.Errorf("attempt %d of %d values is kept, %v are dropped", r.Value, values, dropped)
	}
	for _, a := range attempts {
		if a != nil {
			ends = append(ends, a.Ended())
		}
	}
	return r.Value, took, ends, r.Err
}

func TestRun(t *testing.T) {
	const s = time.Second
	frozen := step{takes: 100 * s}
	good := step{takes: s / 10}
	failing := step{takes: s / 10, verdict: Again, err: errFailed}
	nobody := step{verdict: None, err: errors.New("nobody")}
	for name, c := range map[string]struct {
		plan  Plan
		steps []step
		won   int
		err   error
		took  time.Duration
		ends  []End
	}{
		"the first":  {Plan{Most: 3}, []step{good}, 1, nil, s / 10, []End{Open}},
		"the second": {Plan{Most: 3}, []step{failing, good}, 2, nil, s / 5, []End{Open, Open}},
		"all fail": {
			Plan{Most: 3}, []step{failing, failing, failing}, 3, errFailed, 3 * s / 10, []End{Open, Open, Open},
		},
		"no other":         {Plan{Most: 3}, []step{failing, nobody}, 1, errFailed, s / 10, []End{Open, Open}},
		"nobody":           {Plan{Most: 3}, []step{nobody}, 0, nobody.err, 0, []End{Open}},
		"limit: the first": {Plan{Most: 3, Limit: s}, []step{good}, 1, nil, s / 10, []End{Open}},
		"limit: one frozen": {
			Plan{Most: 3, Limit: s}, []step{frozen, good}, 2, nil, s + s/10, []End{TooLong, Open},
		},
		"limit: two frozen": {
			Plan{Most: 3, Limit: s}, []step{frozen, frozen, good}, 3, nil, 2*s + s/10, []End{TooLong, TooLong, Open},
		},
		"limit: not of the last": {
			Plan{Most: 2, Limit: s}, []step{frozen, {takes: 5 * s}}, 2, nil, 6 * s, []End{TooLong, Open},
		},
		"limit: not of the only": {
			Plan{Most: 3, Limit: s}, []step{{takes: 5 * s}, nobody}, 1, nil, 5 * s, []End{Open, Open},
		},
		"limit: while none is had": {
			Plan{Most: 3, Limit: s}, []step{{waits: 5 * s, takes: s / 10}}, 1, nil, 5*s + s/10, []End{Open},
		},
		"limit: the next waits": {
			Plan{Most: 3, Limit: s}, []step{{takes: 2 * s}, {waits: 9 * s}}, 1, nil, 2 * s, []End{Open, Outrun},
		},
		"limit: fails": {
			Plan{Most: 3, Limit: s}, []step{failing, frozen, good}, 3, nil, s + s/5, []End{Open, TooLong, Open},
		},
		"limit: nobody":     {Plan{Most: 3, Limit: s}, []step{nobody}, 0, nobody.err, 0, []End{Open}},
		"hedge: not needed": {Plan{Most: 3, Hedge: s}, []step{good}, 1, nil, s / 10, []End{Open}},
		"hedge: second": {
			Plan{Most: 3, Hedge: s}, []step{frozen, good}, 2, nil, s + s/10, []End{Outrun, Open},
		},
		"hedge: first after all": {
			Plan{Most: 3, Hedge: s}, []step{{takes: s + s/20}, good}, 1, nil, s + s/20, []End{Open, Outrun},
		},
		"hedge: third": {
			Plan{Most: 3, Hedge: s}, []step{frozen, frozen, good}, 3, nil, 2*s + s/10, []End{Outrun, Outrun, Open},
		},
		"hedge: first fails later": {Plan{
			Most: 3, Hedge: s,
		}, []step{{takes: s + s/20, verdict: Again, err: errFailed}, good}, 2, nil, s + s/10, []End{Open, Open}},
		"hedge: fails": {
			Plan{Most: 3, Hedge: s}, []step{frozen, failing, good}, 3, nil, s + s/5, []End{Outrun, Open, Open},
		},
		"hedge: the last fails": {
			Plan{Most: 2, Hedge: s}, []step{{takes: 5 * s}, failing}, 1, nil, 5 * s, []End{Open, Open},
		},
		"hedge: nobody": {Plan{Most: 3, Hedge: s}, []step{{takes: 3 * s}, nobody}, 1, nil, 3 * s, []End{Open, Open}},
		"hedge and limit": {
			Plan{Most: 3, Hedge: s, Limit: 3 * s}, []step{frozen, {takes: 4 * s}}, 2, nil, 5 * s, []End{TooLong, Open},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if name == "hedge and limit" { // a third one waits for an instance, and is not needed
					c.steps = append(c.steps, step{waits: 50 * s})
					c.ends = append(c.ends, Outrun)
				}
				won, took, ends, err := script(t, t.Context(), c.plan, c.steps...)
				if won != c.won || !errors.Is(err, c.err) || took != c.took || !slices.Equal(ends, c.ends) {
					t.Errorf(
						"attempt %d won, %v after %v, ends %v; want %d, %v, %v, %v",
						won,
						err,
						took,
						ends,
						c.won,
						c.err,
						c.took,
						c.ends,
					)
				}
			})
		})
	}
}

// When the budget is spent, a call makes do with the attempts that it has.
func TestSpentBudgetAllowsNoFurtherAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		empty := func() *Budget { b := Retries(); b.tokens.Store(0); return b }
		slow := step{takes: 5 * time.Second}
		for _, p := range []Plan{
			{Most: 3, Limit: time.Second}, {Most: 3, Hedge: time.Second}, {Most: 3, Limit: 1, Hedge: 1},
		} {
			p.Retries, p.Hedges = empty(), empty()
			if won, took, ends, err := script(t, t.Context(), p, slow); won != 1 || err != nil || took != slow.takes ||
				ends[0] != Open {
				t.Errorf("%+v: %d, %v, %v, %v", p, won, err, took, ends)
			}
		}
		starved := Plan{Most: 3, Hedge: time.Second, Retries: Retries(), Hedges: empty()}
		if won, took, _, err := script(t, t.Context(), starved, step{takes: time.Hour}, step{}); won != 2 ||
			err != nil ||
			took != 2*time.Second {
			t.Errorf("%d, %v, %v", won, err, took)
		}
		p := Plan{Most: 3, Retries: empty(), Hedges: empty()}
		if won, _, _, err := script(t, t.Context(), p, step{verdict: Again, err: errFailed}); won != 1 ||
			err != errFailed {
			t.Errorf("%d, %v", won, err)
		}
	})
}

// A call ends with its context, whatever its attempts do, and begins none after it.
func TestCallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frozen := step{takes: time.Hour}
		for _, p := range []Plan{
			{Most: 3}, {Most: 3, Limit: time.Second}, {Most: 3, Hedge: time.Second},
			{Most: 3, Limit: time.Second, Hedge: time.Second},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			_, took, _, err := script(t, ctx, p, frozen, frozen, frozen)
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) ||
				took != 1500*time.Millisecond {
				t.Errorf("%+v: %v after %v", p, err, took)
			}
			cancel()
		}
	})
}

// The caller's next call must know that an instance was silent: an attempt that was given up
// reports that before the call returns, unless it does not end with its context.
func TestSilenceIsReportedBeforeTheCallReturns(t *testing.T) {
	for _, stays := range []time.Duration{10 * time.Millisecond, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			var reported End
			release := make(chan struct{})
			begin := time.Now()
			p := Plan{Most: 2, Limit: time.Second, Retries: Retries(), Hedges: Hedges()}
			r := Run(t.Context(), p, func(ctx context.Context, a *Attempt) Result[int] {
				a.Begun()
				if a.Number == 1 {
					return Result[int]{Value: 1}
				}
				<-ctx.Done()
				select {
				case <-time.After(stays):
				case <-release:
				}
				reported = a.Ended()
				return Result[int]{Err: errFailed, Verdict: Again}
			}, func(Result[int]) {})
			if took := time.Since(begin); r.Value != 1 || took > time.Second+reportFor {
				t.Errorf("%+v after %v", r, took)
			}
			if stays < reportFor && reported != TooLong {
				t.Errorf("reported %v", reported)
			}
			close(release)
		})
	}
}
