package retry_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// arrivals are the times of the requests that servers get after an event.
type arrivals struct {
	mu   sync.Mutex
	from time.Time       // guarded by mu; zero before the event
	list []time.Duration // guarded by mu; since then
}

func (a *arrivals) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.from = time.Now()
}

func (a *arrivals) note() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.from.IsZero() {
		a.list = append(a.list, time.Since(a.from))
	}
}

// await returns the times, in order, when there are n of them.
func (a *arrivals) await(t *testing.T, n int) []time.Duration {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(long); ; <-tick.C {
		a.mu.Lock()
		list := slices.Sorted(slices.Values(a.list))
		a.mu.Unlock()
		if len(list) >= n {
			return list
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d requests arrived", len(list), n)
		}
	}
}

const crowd = 600 // calls at once, far more than the budget for repetitions

// whole is a read that is not hedged.
var whole = &pb.RangeRequest{Key: key, RangeEnd: []byte("l")}

// One of three members loses its connections: the calls on it go to the others at once,
// however many they are.
func TestCallsCutByOneConnectionGoElsewhereAtOnce(t *testing.T) {
	r := newRig(t, 3, nil)
	var after arrivals
	release := make(chan struct{})
	r.script(func(ctx context.Context, _ int) error {
		after.note()
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	})
	var calls sync.WaitGroup
	for range crowd {
		calls.Go(func() {
			if _, err := r.kv.Range(within(t, 2*long), whole); err != nil {
				t.Error(err)
			}
		})
	}
	awaitTrue(t, "all calls wait for an answer", func() bool { return r.total() == crowd })
	// Which member a new client prefers is chance.
	victim := slices.MaxFunc(r.servers, func(a, b *server) int { return int(a.calls.Load() - b.calls.Load()) })
	n := int(victim.calls.Load())
	after.begin()
	victim.grpc.Stop()
	list := after.await(t, n)
	t.Logf("%d calls were cut; sent again after %v (median), %v (last)", n, list[n/2], list[n-1])
	// Relative to the first ones, since the machine may be slow: a wait shows as a gap.
	if gap := list[n*8/10] - list[n/10]; gap > 800*time.Millisecond {
		t.Errorf("%v lie between those sent again first and last", gap)
	}
	close(release)
	calls.Wait()
}

// Calls do not all come back to a cluster in trouble at the same moment.
func TestRepetitionsWithoutBudgetAreSpread(t *testing.T) {
	r := newRig(t, 2, nil)
	var seen arrivals
	r.script(func(context.Context, int) error {
		seen.note()
		return status.Error(codes.Unavailable, "in trouble")
	})
	ctx, cancel := context.WithCancel(within(t, long))
	defer cancel()
	var calls sync.WaitGroup
	seen.begin()
	for range crowd {
		calls.Go(func() { _, _ = r.kv.Range(ctx, whole) }) // it fails, as all do
	}
	// Each call asks both members; some then repeat at the budget's expense, the others wait.
	list := seen.await(t, 3*crowd)
	cancel()
	calls.Wait()
	waited := list[2*crowd+crowd/3:] // 100 repetitions, and one for each five calls, come before
	const window = 50 * time.Millisecond
	most := 0
	for i, from := range waited {
		n, _ := slices.BinarySearch(waited, from+window)
		most = max(most, n-i)
	}
	t.Logf(
		"%d requests from %v to %v, at most %d of them within %v",
		len(waited),
		waited[0],
		waited[len(waited)-1],
		most,
		window,
	)
	if most > len(waited)/2 {
		t.Errorf("%d of %d repetitions came within %v", most, len(waited), window)
	}
}

// A call that has little time left spends it on a last try, not on waiting.
func TestRepetitionWithoutBudgetComesBeforeTheDeadline(t *testing.T) {
	r := newRig(t, 1, nil)
	var calls sync.WaitGroup
	r.script(func(context.Context, int) error { return status.Error(codes.Unavailable, "in trouble") })
	for range 200 { // spend the budget
		calls.Go(func() { _, _ = r.kv.Range(within(t, time.Second), get) })
	}
	calls.Wait()
	r.script(func(_ context.Context, n int) error {
		return status.Error(codes.Unavailable, "in trouble")
	})
	before := r.total()
	const tries = 20
	for range tries {
		calls.Go(func() { _, _ = r.kv.Range(within(t, 800*time.Millisecond), get) })
	}
	calls.Wait()
	// The first request, its free repetition, and one more.
	if n := r.total() - before; n < tries*5/2 {
		t.Errorf("%d requests of %d calls", n, tries)
	}
}
