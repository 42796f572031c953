package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	official "go.etcd.io/etcd/client/v3"

	"github.com/fairlead-go/fairlead/clientv3"
)

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// read is one read of key i.
type read func(i int) error

func (b *bench) fromCopy(opts ...clientv3.OpOption) read {
	keys := b.names()
	return func(i int) error {
		r, err := b.cache.Get(b.ctx, keys[i%len(keys)], opts...)
		if err == nil && len(r.Kvs) != 1 {
			err = errors.New("a key is not in the cache")
		}
		return err
	}
}

func (b *bench) names() []string {
	keys := make([]string, b.keys)
	for i := range keys {
		keys[i] = key(i)
	}
	return keys
}

// serializable measures single reads one after the other.
func (b *bench) serializable() error {
	ctx, keys := b.ctx, b.names()
	contenders := []struct {
		name, bar string
		read      read
	}{
		{"serializable read from the cache", "at most 300 ns, 3 allocations", func(i int) error {
			_, err := b.cache.Get(ctx, keys[i%len(keys)], clientv3.WithSerializable())
			return err
		}},
		{"of a key that does not exist", "", func(i int) error {
			_, err := b.cache.Get(ctx, prefix+"none", clientv3.WithSerializable())
			return err
		}},
		{"a snapshot's Get", "", func() read {
			s := b.cache.Snapshot()
			return func(i int) error { s.Get(keys[i%len(keys)]); return nil }
		}()},
		{"serializable read by the official client", "", func(i int) error {
			_, err := b.theirs.Get(ctx, keys[i%len(keys)], official.WithSerializable())
			return err
		}},
	}
	for _, c := range contenders {
		var ns, allocs []float64
		var failed error
		for range b.rounds {
			r := testing.Benchmark(func(tb *testing.B) {
				tb.ReportAllocs()
				i := 0
				for tb.Loop() {
					if err := c.read(i); err != nil {
						failed = err
						return
					}
					i += 7919 // all over the tree
				}
			})
			ns, allocs = append(
				ns,
				float64(r.T.Nanoseconds())/float64(max(r.N, 1)),
			), append(
				allocs,
				float64(r.AllocsPerOp()),
			)
		}
		if failed != nil {
			return failed
		}
		b.add(c.name, median(ns), "ns", c.bar)
		b.add("  allocations", median(allocs), "", "")
	}
	return nil
}

// rate returns how many reads a second n goroutines make.
func rate(ctx context.Context, n int, each time.Duration, one read) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, each)
	defer cancel()
	counts := make([]int, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	begin := time.Now()
	for g := range n {
		wg.Go(func() {
			done := 0
			for i := g * 977; ctx.Err() == nil; i += 7919 {
				for range 8 { // the clock of ctx should not count
					if errs[g] = one(i); errs[g] != nil {
						return
					}
					done++
				}
			}
			counts[g] = done
		})
	}
	wg.Wait()
	took := time.Since(begin).Seconds()
	total := 0
	for _, c := range counts {
		total += c
	}
	return float64(total) / took, errors.Join(errs...)
}

// scaling compares one processor with two. In between it measures a loop that shares nothing: what
// that loop does not gain, the machine cannot give.
func (b *bench) scaling() error {
	contenders := []struct {
		name, bar string
		read      read
		one, two  []float64
		ratio     []float64
	}{
		{name: "serializable reads", bar: "at least 1.7 times", read: b.fromCopy(clientv3.WithSerializable())},
		{name: "a loop without memory", read: spin},
	}
	for range b.rounds {
		for i := range contenders {
			c := &contenders[i]
			var r [2]float64
			for n := range 2 {
				old := runtime.GOMAXPROCS(n + 1)
				got, err := rate(b.ctx, n+1, b.each/2, c.read)
				runtime.GOMAXPROCS(old)
				if err != nil {
					return err
				}
				r[n] = got
			}
			c.one, c.two, c.ratio = append(c.one, r[0]), append(c.two, r[1]), append(c.ratio, r[1]/r[0])
		}
	}
	for _, c := range contenders {
		b.add(c.name+", one processor", median(c.one), "/s", "")
		b.add("with two", median(c.two), "/s", "")
		b.add("  ratio, median of the rounds", median(c.ratio), "", c.bar)
	}
	return nil
}

// spin takes about as long as a read.
func spin(i int) error {
	x := uint64(i) | 1
	for range 200 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	if x == 0 {
		return errors.New("it cannot be zero")
	}
	return nil
}

// consistent compares many readers of the official client with as many readers of the cache.
func (b *bench) consistent() error {
	keys := b.names()
	theirs := func(i int) error {
		_, err := b.theirs.Get(b.ctx, keys[i%len(keys)])
		return err
	}
	for _, busy := range []bool{false, true} {
		stop := func() {}
		what, bar := "nothing is written", "at least 8 times"
		if busy {
			what, bar = fmt.Sprintf("%d writes/s to other keys", b.writes), ""
			stop = b.write()
		}
		var off, our, ratio []float64
		for range b.rounds {
			o, err := rate(b.ctx, b.readers, b.each, theirs)
			if err == nil {
				var c float64
				c, err = rate(b.ctx, b.readers, b.each, b.fromCopy())
				off, our, ratio = append(off, o), append(our, c), append(ratio, c/o)
			}
			if err != nil {
				stop()
				return err
			}
		}
		stop()
		b.add(fmt.Sprintf("consistent reads by %d, official client (%s)", b.readers, what), median(off), "/s", "")
		b.add("from the cache", median(our), "/s", "")
		b.add("  ratio, median of the rounds", median(ratio), "", bar)
	}
	b.add("consistent reads that had to be sent to etcd", float64(b.cache.States()[0].Forwarded), "", "")
	one, err := rate(b.ctx, 1, b.each/2, b.fromCopy())
	if err != nil {
		return err
	}
	b.add("one consistent reader", 1e6/one, "us each", "")
	return nil
}

// write writes other keys until stop is called.
func (b *bench) write() (stop func()) {
	ctx, cancel := context.WithCancel(b.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(b.writes))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			wg.Go(func() { _, _ = b.ours.Put(ctx, "elsewhere", "") })
		}
	})
	return func() { cancel(); wg.Wait() }
}
