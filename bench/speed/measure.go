package main

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	"github.com/fairlead-go/fairlead/bench/speed/side"
)

// cost is what work cost this process.
type cost struct {
	wall, cpu time.Duration
	mallocs   float64
}

func measure(f func() error) (cost, error) {
	var before, after runtime.MemStats
	runtime.GC() // the garbage of the other side does not count
	runtime.ReadMemStats(&before)
	cpu, began := load.ProcessorTime(), time.Now()
	err := f()
	c := cost{wall: time.Since(began), cpu: load.ProcessorTime() - cpu}
	runtime.ReadMemStats(&after)
	c.mallocs = float64(after.Mallocs - before.Mallocs)
	return c, err
}

// turns measures both sides, rounds times each. They take turns, and each is first as often as the
// other; the first turn of each does not count. The result is the median of each figure.
func turns(sides [2]*side.Side, rounds int, f func(*side.Side) error) ([2]cost, error) {
	var got [2][]cost
	for round := range rounds + 1 {
		for i := range sides {
			at := (i + round) % 2
			c, err := measure(func() error { return f(sides[at]) })
			if err != nil {
				return [2]cost{}, err
			}
			if round > 0 {
				got[at] = append(got[at], c)
			}
		}
	}
	return [2]cost{middle(got[0]), middle(got[1])}, nil
}

func middle(list []cost) cost {
	pick := func(value func(cost) float64) float64 {
		var v []float64
		for _, c := range list {
			v = append(v, value(c))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return cost{
		wall:    time.Duration(pick(func(c cost) float64 { return float64(c.wall) })),
		cpu:     time.Duration(pick(func(c cost) float64 { return float64(c.cpu) })),
		mallocs: pick(func(c cost) float64 { return c.mallocs }),
	}
}

// memory returns what the process holds: the heap after a collection, and the stacks.
func memory() float64 {
	var m runtime.MemStats
	for range 3 { // the second one frees what pools hold
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}

// each calls f for every i below n, 64 at once.
func each(n int, f func(i int) error) error {
	const workers = 64
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = f(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
