package leasing_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func BenchmarkCachedGet(b *testing.B) {
	shared(b)
	s := leased(b, etcdtest.Shared(b).Endpoints(), "L-"+b.Name()+"/")
	key := b.Name()
	s.put(b, key, "0123456789012345678901234567890123456789")
	s.owns(b, key)
	ctx := context.Background()
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Get(ctx, key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("txn", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := s.Txn(ctx).If(clientv3.Compare(clientv3.Version(key), ">", 0)).Then(clientv3.OpGet(key)).Commit()
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPut writes keys without an owner, keys of this KV, and keys of another one.
func BenchmarkPut(b *testing.B) {
	shared(b)
	s := leased(b, etcdtest.Shared(b).Endpoints(), "L-"+b.Name()+"/")
	other := leased(b, etcdtest.Shared(b).Endpoints(), "L-"+b.Name()+"/")
	for name, owner := range map[string]*side{"nobody": nil, "own": s, "another": other} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				key := fmt.Sprintf("%s/%s/%d/%d", b.Name(), name, b.N, i)
				if owner != nil {
					b.StopTimer()
					owner.get(b, key)
					b.StartTimer()
				}
				s.put(b, key, "value")
			}
		})
	}
}
