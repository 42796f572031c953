package batch_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/fairlead-go/fairlead/batch"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// perProc times GOMAXPROCS goroutines read at the same time.
const perProc = 256

func BenchmarkGet(b *testing.B) {
	c := clienttest.Shared(b)
	if _, err := c.Put(context.Background(), b.Name(), "v"); err != nil {
		b.Fatal(err)
	}
	for _, kv := range []struct {
		name string
		clientv3.KV
	}{{"client", c}, {"batch", batch.NewKV(c)}} {
		key := b.Name()
		get := func(b *testing.B) {
			if r, err := kv.Get(context.Background(), key); err != nil || len(r.Kvs) != 1 {
				b.Errorf("%v, %v", r, err)
			}
		}
		b.Run(fmt.Sprintf("%s/crowd", kv.name), func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(perProc)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					get(b)
				}
			})
		})
		b.Run(fmt.Sprintf("%s/idle", kv.name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				get(b)
			}
		})
	}
}
