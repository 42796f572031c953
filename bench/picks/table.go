package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/fairlead-go/fairlead/discovery/pick"
)

const (
	// expected is the number of picks of the instance with the least weight in each cell.
	expected = 1000
	// within is how far a share may be off its weight's. unpicked is how many times its expected
	// interval an instance may go without a call.
	within   = 0.10
	unpicked = 20
	usual    = 10 * time.Millisecond // latency
	slowness = 10                    // times as long: calls to the slow instance
)

// policy is a policy and what to expect of it.
type policy struct {
	name  string
	p     pick.Policy
	equal bool // it ignores weights
	blind bool // it ignores load and latency
	drawn bool // it picks by chance: some of a thousand instances get what few others do
	keyed bool // calls have keys, all different
	full  bool // an instance may be full, and gets nothing until one of its calls ends
}

var policies = []policy{
	{name: "RoundRobin", p: pick.RoundRobin(), equal: true, blind: true},
	{name: "Random", p: pick.Random(), blind: true, drawn: true},
	{name: "Weighted", p: pick.Weighted(), blind: true},
	{name: "P2C", p: pick.P2C(), drawn: true},
	{name: "LeastOutstanding", p: pick.LeastOutstanding(), drawn: true},
	{name: "Hash", p: pick.Hash(), drawn: true, full: true},
	{name: "Hash, with keys", p: pick.Hash(), drawn: true, keyed: true, full: true},
}

// latency is how long calls take, in units of usual.
type latency struct {
	name string
	of   func(i int, rnd *rand.Rand) float64
}

var latencies = []latency{
	{"equal", func(int, *rand.Rand) float64 { return 1 }},
	{"one slow", func(i int, _ *rand.Rand) float64 {
		if i == 0 {
			return slowness
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

// cells returns the weights at the rates. A thousand instances come only at the highest rate,
// since they take long.
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
		for _, rate := range []int{1, 100, 1000, 10_000} {
			if len(weights) < len(same) || rate == 10_000 {
				list = append(list, cell{weights, rate, expected * sum / least})
			}
		}
	}
	return list
}

func (c cell) String() string {
	if len(c.weights) > 3 || c.weights[0] == c.weights[len(c.weights)-1] {
		return fmt.Sprintf("%d equal, %d/s", len(c.weights), c.rate)
	}
	return fmt.Sprintf("%d, %d/s", c.weights, c.rate)
}

// result is the result of a cell.
type result struct {
	off     float64 // the largest deviation of a share from its weight's
	who     int     // the instance with that deviation
	slow    float64 // the first instance's share, relative to its weight's
	longest float64 // without a call, in expected intervals
}

// missed describes the bar that is missed, "" if none is.
func (r result) missed(p policy, c cell, latency string) string {
	allowed := within
	if p.drawn && len(c.weights) > 20 {
		allowed += 2 / math.Sqrt(expected)
	}
	switch {
	case (latency == "equal" || p.blind) && r.off > allowed:
		return fmt.Sprintf("instance %d of weight %d is %.2f off its share", r.who, c.weights[r.who], r.off)
	case latency == "one slow" && r.slow == 0:
		return "the slow one got nothing"
	case latency == "one slow" && r.slow > 1+chance(p, c):
		return fmt.Sprintf("the slow one got %.2f times its share", r.slow)
	case r.longest > unpicked+p.wait(c, latency):
		return fmt.Sprintf("an instance was not picked for %.1f times its expected interval", r.longest)
	}
	return ""
}

// wait is how long a call to the slow instance takes, in its expected intervals, for policies that
// may consider it full.
func (p policy) wait(c cell, latency string) float64 {
	if !p.full || latency != "one slow" {
		return 0
	}
	return slowness * usual.Seconds() * float64(c.rate) * c.part()
}

// part returns the first instance's share of all weights.
func (c cell) part() float64 {
	sum := 0
	for _, w := range c.weights {
		sum += w
	}
	return float64(c.weights[0]) / float64(sum)
}

// chance is how much more than its share the slow instance may get from a policy that ignores
// latency or picks by chance: three standard deviations.
func chance(p policy, c cell) float64 {
	if !p.drawn && !p.blind {
		return 0
	}
	part := c.part()
	return 3 * math.Sqrt((1-part)/part/float64(c.calls))
}

// context gives the n-th call a key if calls have keys.
func (p policy) context(n int) context.Context {
	if p.keyed {
		return pick.WithKey(context.Background(), fmt.Sprint("key ", n))
	}
	return context.Background()
}
