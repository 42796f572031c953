package picks

import (
	"container/heap"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

const (
	// expected picks of the instance with the least weight in each cell of the table.
	expected = 1000
	// within is how far a share may be off its weight's, and unpicked how many times its
	// expected interval an instance may go without a call.
	within   = 0.10
	unpicked = 20
	usual    = 10 * time.Millisecond // latency
)

// latencies are how long calls take, in the unit of usual.
var latencies = []struct {
	name string
	of   func(i int, rnd *rand.Rand) float64
}{
	{"equal", func(int, *rand.Rand) float64 { return 1 }},
	{"one slow", func(i int, _ *rand.Rand) float64 {
		if i == 0 {
			return 10
		}
		return 1
	}},
	{"noisy", func(_ int, rnd *rand.Rand) float64 { return 0.5 + rnd.ExpFloat64()/2 }},
}

// cell is one line of the table.
type cell struct {
	weights []int
	rate    int // calls per second
	calls   int
}

// cells have the weights at the rates; a thousand instances only at some, for the time it takes.
func cells() (list []cell) {
	same := make([]int, 1000)
	for i := range same {
		same[i] = 10
	}
	for _, weights := range [][]int{{20, 10}, {10, 10, 1}, {100, 1}, same[:2], same[:20], same} {
		sum, least := 0, math.MaxInt
		for _, w := range weights {
			sum, least = sum+w, min(least, w)
		}
		for _, rate := range []int{1, 100, 10_000} {
			if len(weights) < len(same) || rate == 10_000 {
				list = append(list, cell{weights, rate, expected * sum / least})
			}
		}
	}
	return list
}

func (c cell) String() string {
	if len(c.weights) > 3 {
		return fmt.Sprintf("%d equal at %d/s", len(c.weights), c.rate)
	}
	return fmt.Sprintf("%v at %d/s", c.weights, c.rate)
}

// What P2C gives: by weight while latencies are equal, less to a slow one, and something to all.
func TestP2C(t *testing.T) {
	for _, l := range latencies {
		for _, c := range cells() {
			if l.name == "noisy" && len(c.weights) > 20 {
				continue // it takes long, and says what those before say
			}
			t.Run(l.name+"/"+c.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { check(t, l.name, c, run(t, pick.P2C(), c, l.of)) })
			})
		}
	}
}

// Random and Weighted give by weight whatever the latencies.
func TestByWeight(t *testing.T) {
	for name, p := range map[string]pick.Policy{"Random": pick.Random(), "Weighted": pick.Weighted()} {
		for _, c := range cells() { // the rate does not matter to them
			if c.rate == 100 {
				t.Run(name+"/"+c.String(), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { check(t, "equal", c, run(t, p, c, latencies[0].of)) })
				})
			}
		}
	}
}

// share is what one instance got.
type share struct {
	calls   int
	part    float64 // of what its weight says
	longest float64 // without a call, in expected intervals
}

func check(t *testing.T, latency string, c cell, got []share) {
	low, high, longest := math.Inf(1), 0.0, 0.0
	for i, s := range got {
		low, high, longest = min(low, s.part), max(high, s.part), max(longest, s.longest)
		chance := 0.0
		if len(got) > 20 { // of a thousand instances, some get by chance what few others do
			chance = 2 / math.Sqrt(expected)
		}
		if latency == "equal" && math.Abs(s.part-1) > within+chance {
			t.Errorf("instance %d of weight %d got %.2f times its share", i, c.weights[i], s.part)
		}
		if latency == "one slow" && i == 0 && (s.calls == 0 || s.part > 1) {
			t.Errorf("the slow one got %.2f times its share", s.part)
		}
		if s.longest > unpicked {
			t.Errorf("instance %d was not picked for %.1f times its expected interval", i, s.longest)
		}
	}
	t.Logf("share/weight %.2f to %.2f, the first %.2f; longest without a call %.1f intervals", low, high, got[0].part, longest)
}

// run makes the calls of a cell, at drawn times.
func run(t *testing.T, p pick.Policy, c cell, latency func(int, *rand.Rand) float64) []share {
	rnd := rand.New(rand.NewPCG(1, 2))
	b := pick.New(p, pick.WithSeed(1))
	defer b.Close()
	index := make(map[string]int)
	var list []*discovery.Instance
	sum := 0
	for i, w := range c.weights {
		in := &discovery.Instance{Service: "s", ID: fmt.Sprint(i), Addresses: []string{fmt.Sprintf("h%d:80", i)}, Weight: w}
		index[in.ID], list, sum = i, append(list, in), sum+w
	}
	b.Update(list, nil)
	if err := b.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, last := make([]share, len(list)), make([]int, len(list))
	seen := func(i, n int) { // the n-th call
		gap := float64(n-last[i]) * float64(c.weights[i]) / float64(sum)
		got[i].longest, last[i] = max(got[i].longest, gap), n
	}
	var ends calls
	next := time.Now()
	for n := range c.calls {
		next = next.Add(time.Duration(rnd.ExpFloat64() * float64(time.Second) / float64(c.rate)))
		for len(ends) > 0 && !ends[0].at.After(next) {
			e := heap.Pop(&ends).(call)
			time.Sleep(time.Until(e.at))
			e.done.Report(pick.Success)
		}
		time.Sleep(time.Until(next))
		in, done, err := b.Pick(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		i := index[in.ID]
		got[i].calls++
		seen(i, n)
		heap.Push(&ends, call{next.Add(time.Duration(latency(i, rnd) * float64(usual))), done})
	}
	for i := range got {
		seen(i, c.calls)
		got[i].part = float64(got[i].calls) * float64(sum) / float64(c.weights[i]) / float64(c.calls)
	}
	return got
}

// call is one under way.
type call struct {
	at   time.Time // when it ends
	done pick.Done
}

// calls are a heap, the first to end on top.
type calls []call

func (c calls) Len() int           { return len(c) }
func (c calls) Less(i, j int) bool { return c[i].at.Before(c[j].at) }
func (c calls) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *calls) Push(x any)        { *c = append(*c, x.(call)) }
func (c *calls) Pop() any {
	old := *c
	x := old[len(old)-1]
	*c = old[:len(old)-1]
	return x
}
