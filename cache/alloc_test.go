package cache

import (
	"context"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// TestAllocations keeps reads from the copy cheap.
func TestAllocations(t *testing.T) {
	f := still(1000)
	c := f.c
	c.feeds, c.group = []*feed{f}, worker.New(context.Background())
	defer c.group.Stop()
	ctx := context.Background()
	for _, x := range []struct {
		name string
		most float64
		read func() (*clientv3.GetResponse, error)
	}{
		{"a key", 3, func() (*clientv3.GetResponse, error) {
			return c.Get(ctx, "p/00500", clientv3.WithSerializable())
		}},
		{"no key", 3, func() (*clientv3.GetResponse, error) {
			return c.Get(ctx, "p/none", clientv3.WithSerializable())
		}},
		{"a count", 6, func() (*clientv3.GetResponse, error) {
			return c.Get(ctx, "p/", clientv3.WithPrefix(), clientv3.WithCountOnly(), clientv3.WithSerializable())
		}},
		{"a thousand keys", 7, func() (*clientv3.GetResponse, error) {
			return c.Get(ctx, "p/", clientv3.WithPrefix(), clientv3.WithSerializable())
		}},
	} {
		n := testing.AllocsPerRun(1000, func() {
			if _, err := x.read(); err != nil {
				t.Fatal(err)
			}
		})
		if n > x.most {
			t.Errorf("%s: %v allocations", x.name, n)
		}
	}
}
