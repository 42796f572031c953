package main

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// measure makes the calls of a cell at random times.
func measure(t *testing.T, p policy, c cell, l latency) result {
	rnd := rand.New(rand.NewPCG(1, 2))
	b := pick.New(p.p, pick.WithSeed(1))
	defer b.Close()
	index := make(map[string]int)
	var list []*discovery.Instance
	weight, sum := make([]float64, len(c.weights)), 0.0
	for i, w := range c.weights {
		in := &discovery.Instance{
			Service:   "s",
			ID:        fmt.Sprint(i),
			Addresses: []string{fmt.Sprintf("h%d:80", i)},
			Weight:    w,
		}
		if weight[i] = float64(w); p.equal {
			weight[i] = 1
		}
		index[in.ID], list, sum = i, append(list, in), sum+weight[i]
	}
	b.Update(list, nil)
	if err := b.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	var r result
	got, last := make([]int, len(list)), make([]int, len(list))
	seen := func(i, n int) { // records the n-th call
		r.longest = max(r.longest, float64(n-last[i])*weight[i]/sum)
		last[i] = n
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
		in, done, err := b.Pick(p.context(n))
		if err != nil {
			t.Fatal(err)
		}
		i := index[in.ID]
		got[i]++
		seen(i, n)
		heap.Push(&ends, call{next.Add(time.Duration(l.of(i, rnd) * float64(usual))), done})
	}
	for i := range got {
		seen(i, c.calls)
		part := float64(got[i]) * sum / weight[i] / float64(c.calls)
		if off := math.Abs(part - 1); off > r.off {
			r.off, r.who = off, i
		}
		if i == 0 {
			r.slow = part
		}
	}
	return r
}

// call is one call under way.
type call struct {
	at   time.Time // when it ends
	done pick.Done
}

// calls are a heap with the first to end on top.
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
