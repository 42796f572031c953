package cache_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/fairlead-go/fairlead/cache"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// filled is a cache of n keys, and their prefix.
func filled(b *testing.B, n int) (*cache.Cache, string) {
	c := clienttest.Shared(b)
	prefix := b.Name() + "/"
	var ops []clientv3.Op
	for i := range n {
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%05d", prefix, i), "a value of some bytes"))
		if len(ops) == 100 || i == n-1 {
			if _, err := c.Txn(within(b)).Then(ops...).Commit(); err != nil {
				b.Fatal(err)
			}
			ops = nil
		}
	}
	return open(b, c, []string{prefix}), prefix
}

func BenchmarkSerializable(b *testing.B) {
	ca, prefix := filled(b, 10_000)
	ctx := context.Background()
	for name, key := range map[string]string{"hit": prefix + "04711", "miss": prefix + "nothing"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ca.Get(ctx, key, clientv3.WithSerializable()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("all over", func(b *testing.B) {
		keys := make([]string, 10_000)
		for i := range keys {
			keys[i] = fmt.Sprintf("%s%05d", prefix, i)
		}
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if _, err := ca.Get(ctx, keys[i%len(keys)], clientv3.WithSerializable()); err != nil {
				b.Fatal(err)
			}
			i += 7919
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := ca.Get(ctx, prefix+"04711", clientv3.WithSerializable()); err != nil {
					b.Error(err)
				}
			}
		})
	})
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint("prefix of ", n), func(b *testing.B) {
			b.ReportAllocs()
			key := prefix + map[int]string{10: "0471", 1000: "04"}[n]
			for b.Loop() {
				r, err := ca.Get(ctx, key, clientv3.WithPrefix(), clientv3.WithSerializable())
				if err != nil || len(r.Kvs) != n {
					b.Fatal(len(r.Kvs), err)
				}
			}
		})
	}
}

func BenchmarkConsistent(b *testing.B) {
	ca, prefix := filled(b, 10_000)
	ctx := context.Background()
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ca.Get(ctx, prefix+"04711"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("64", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := ca.Get(ctx, prefix+"04711"); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
