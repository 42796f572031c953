package pick

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
)

// counts picks n times, each reported as a success at once.
func counts(t testing.TB, b *Balancer, n int) map[string]int {
	t.Helper()
	got := make(map[string]int)
	for range n {
		in, done, err := b.Pick(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		done.Report(Success)
		got[in.ID]++
	}
	return got
}

// weights makes instances with these weights.
func weights(list ...int) []*discovery.Instance {
	all := instances(len(list), 1)
	for i, w := range list {
		all[i].Weight = w
	}
	return all
}

func TestShares(t *testing.T) {
	const n = 42_000
	odd := []int{1, 2, 4, 7, 0, 100, 65535, 3}
	for _, p := range policies {
		for name, list := range map[string][]int{"one": {5}, "equal": {3, 3, 3}, "few": {5, 1, 1}, "odd": odd} {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				all := weights(list...)
				sum := 0
				for _, in := range all {
					sum += in.EffectiveWeight()
				}
				got := counts(t, loaded(t, p.policy, all), n)
				for _, in := range all {
					want := float64(in.EffectiveWeight()) / float64(sum) * n
					margin := 0.0
					switch p.name {
					case "RoundRobin":
						want = n / float64(len(all))
						margin = 1
					case "Weighted":
						margin = 2
						if name == "odd" {
							margin = n / 4096. * float64(len(all))
						}
					case "Random", "Hash":
						margin = 6 * math.Sqrt(want+1)
					default: // for one call at a time weight decides alone: P2C and the least loaded
						continue
					}
					if d := math.Abs(float64(got[in.ID]) - want); d > margin {
						t.Errorf("%s of weight %d was picked %d times, not %.0f", in.ID, in.Weight, got[in.ID], want)
					}
				}
			})
		}
	}
}

func TestSeedRepeatsARun(t *testing.T) {
	for _, p := range policies {
		run := func() (ids []string) {
			b := loaded(t, p.policy, thousand(), WithSeed(7), WithZone("a"), WithSpillOver(1))
			b.mu.Lock()
			b.env("", 0).turn.Store(0)
			b.mu.Unlock()
			for range 200 {
				in, _, err := b.Pick(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, in.ID)
			}
			return ids
		}
		if a, b := run(), run(); !slices.Equal(a, b) {
			t.Errorf("%s: two runs with one seed differ", p.name)
		}
	}
}

// No instance gets a longer run of calls than its weight requires.
func TestNoInstanceGetsALongRunOfCalls(t *testing.T) {
	b := loaded(t, Weighted(), weights(5, 1, 1))
	last, run, longest := "", 0, 0
	for range 700 {
		in, _, _ := b.Pick(context.Background())
		if in.ID != last {
			last, run = in.ID, 0
		}
		run++
		longest = max(longest, run)
	}
	if longest > 4 { // nginx's algorithm has four
		t.Errorf("%d calls in a row", longest)
	}
}

// The slow and the failing instance get less; how much depends on queueing.
func TestP2C(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := loaded(t, P2C(), instances(10, 1), WithoutEjection())
		got := make(map[string]int)
		for range 20_000 {
			in, done, err := b.Pick(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got[in.ID]++
			latency, outcome := time.Millisecond, Success
			switch in.ID {
			case "i-0003":
				latency = 20 * time.Millisecond
			case "i-0007":
				latency, outcome = 0, Failure
			}
			go func() { time.Sleep(latency); done.Report(outcome) }()
			time.Sleep(200 * time.Microsecond)
		}
		time.Sleep(time.Second)
		for id, n := range got {
			bad := id == "i-0003" || id == "i-0007"
			if bad && n > 500 || !bad && (n < 1500 || n > 4000) {
				t.Errorf("%s got %d calls", id, n)
			}
		}
		for _, s := range b.Statuses() {
			if s.Outstanding != 0 || s.Latency == 0 {
				t.Errorf("%+v", s)
			}
		}
	})
}

// A failed instance is tried again, and gets its share when it works.
func TestP2CRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := loaded(t, P2C(), instances(3, 1), WithoutEjection())
		run := func(d time.Duration, outcome Outcome) (calls int) {
			for end := time.Now().Add(d); time.Now().Before(end); {
				in, done, err := b.Pick(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Millisecond)
				if in.ID == "i-0001" {
					calls++
					done.Report(outcome)
				} else {
					done.Report(Success)
				}
			}
			return calls
		}
		run(time.Second, Success)
		if n := run(10*time.Second, Failure); n > 2000 {
			t.Errorf("%d of 10000 calls failed", n)
		}
		run(time.Minute, Success)
		if n := run(10*time.Second, Success); n < 1000 {
			t.Errorf("%d of 10000 calls a minute after it works", n)
		}
	})
}

func TestLeastOutstanding(t *testing.T) {
	const off = 2 // picks are random, and weights differ
	b := loaded(t, LeastOutstanding(), weights(10, 10, 20))
	held := make(map[string]int)
	for range 40 { // none is finished
		in, _, err := b.Pick(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held[in.ID]++
	}
	for id, want := range map[string]int{"i-0000": 10, "i-0001": 10, "i-0002": 20} {
		if held[id] < want-off || held[id] > want+off {
			t.Errorf("%s has %d calls, want %d", id, held[id], want)
		}
	}
	b = loaded(t, LeastOutstanding(), instances(100, 1))
	most := 0
	held = make(map[string]int)
	for range 1000 {
		in, _, _ := b.Pick(t.Context())
		held[in.ID]++
		most = max(most, held[in.ID])
	}
	if most > 13 || len(held) != 100 {
		t.Errorf("one of %d has %d calls, and its share is 10", len(held), most)
	}
}

// When an instance goes its keys move, and few others.
func TestHashMovesFewKeysWhenAnInstanceGoes(t *testing.T) {
	const keys = 20_000
	for _, n := range []int{3, 10, 50, 300} {
		for _, many := range []int{1, 5} { // weights
			list := instances(n, many)
			gone := list[n/2]
			before := pickedFor(t, loaded(t, Hash(), list), keys)
			after := pickedFor(t, loaded(t, Hash(), slices.Delete(slices.Clone(list), n/2, n/2+1), WithSeed(99)), keys)
			others := 0
			for k, id := range before {
				if after[k] != id && id != gone.ID {
					others++
				}
				if after[k] == gone.ID {
					t.Fatalf("%d, %d: %s is picked after it went", n, many, gone.ID)
				}
			}
			if others > keys*3/100 {
				t.Errorf("of %d instances with %d weights one went: %d keys of others moved", n, many, others)
			}
		}
	}
}

// Keys are spread by weight, also to a light instance beside heavy ones, within the error of a
// draw.
func TestHashSpreadsKeysByWeight(t *testing.T) {
	const keys = 200_000
	for _, list := range [][]*discovery.Instance{
		weights(100, 1), weights(20, 10), weights(10, 10, 1), instances(20, 1), instances(200, 7),
	} {
		got, sum := make(map[string]float64), 0.0
		for _, id := range pickedFor(t, loaded(t, Hash(), list), keys) {
			got[id]++
		}
		for _, in := range list {
			sum += float64(in.EffectiveWeight())
		}
		for _, in := range list {
			want := keys * float64(in.EffectiveWeight()) / sum
			if math.Abs(got[in.ID]-want) > 4.5*math.Sqrt(want) {
				t.Errorf(
					"%d instances: %s of weight %d has %.0f keys, want about %.0f",
					len(list),
					in.ID,
					in.Weight,
					got[in.ID],
					want,
				)
			}
		}
	}
}

// pickedFor returns the picked instance for each of n keys while nothing else is under way.
func pickedFor(t *testing.T, b *Balancer, n int) (ids []string) {
	t.Helper()
	for i := range n {
		in, done, err := b.Pick(WithKey(t.Context(), fmt.Sprint("user ", i)))
		if err != nil {
			t.Fatal(err)
		}
		done.Report(Success)
		ids = append(ids, in.ID)
	}
	return ids
}

// A very popular key occupies no instance with much more than its share.
func TestHashBoundsTheCallsOfAPopularKey(t *testing.T) {
	b := loaded(t, Hash(), instances(20, 1))
	ctx := WithKey(t.Context(), "hot")
	held := make(map[string]int)
	for range 400 {
		in, _, err := b.Pick(ctx)
		if err != nil {
			t.Fatal(err)
		}
		held[in.ID]++
	}
	for id, n := range held {
		if n > 25+1+moreCalls { // 400/20 by 1.25, rounded up
			t.Errorf("%s has %d calls", id, n)
		}
	}
}
