package discovery_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// BenchmarkRegistered reports what an instance costs the process that has registered it:
// bytes of heap, and goroutines.
func BenchmarkRegistered(b *testing.B) {
	const n = 10_000
	c := clienttest.Shared(b)
	for b.Loop() {
		r := registrar(b, c, discovery.WithWriteRate(1_000_000))
		before, goroutines := heap(), runtime.NumGoroutine()
		var wg sync.WaitGroup
		limit := make(chan struct{}, 64)
		for i := range n {
			limit <- struct{}{}
			wg.Go(func() {
				defer func() { <-limit }()
				if _, err := r.Register(within(b), orders(b, fmt.Sprint(i))); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		b.ReportMetric((heap()-before)/n, "B/instance")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/n, "goroutines/instance")
		if err := r.Close(); err != nil {
			b.Error(err)
		}
	}
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkChange reports what a change of one instance costs a subscriber, with few
// instances and with many: from the write to the subscriber's Next, the write included.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := clienttest.Shared(b)
			prefix := base(b).Prefix(b.Name())
			record := func(i, version int) (key, value string) {
				return fmt.Sprintf(
						"%s%d",
						prefix,
						i,
					), fmt.Sprintf(
						`{"service":%q,"id":"%d","addresses":["h:1"],"version":"%d"}`,
						b.Name(),
						i,
						version,
					)
			}
			var ops []clientv3.Op
			for i := range n {
				key, value := record(i, 0)
				if ops = append(ops, clientv3.OpPut(key, value)); len(ops) == 100 || i == n-1 {
					if _, err := c.Txn(within(b)).Then(ops...).Commit(); err != nil {
						b.Fatal(err)
					}
					ops = nil
				}
			}
			s := subscribe(b, directory(b, c))
			for next(b, s).View.Len() < n {
			}
			for i := 1; b.Loop(); i++ {
				key, value := record(i%n, i)
				if _, err := c.Put(within(b), key, value); err != nil {
					b.Fatal(err)
				}
				for len(next(b, s).Updated) == 0 {
				}
			}
		})
	}
}
