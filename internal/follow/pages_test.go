package follow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

func TestNextPage(t *testing.T) {
	for _, x := range []struct {
		n, size int
		want    int64
	}{{100, 100, 1000}, {5000, 5000, pageMost}, {100, 100 << 20, 2}, {1, 10 << 20, 1}, {1000, 1000 * 300, 6990}} {
		if got := nextPage(x.n, x.size); got != x.want {
			t.Errorf("after %d keys of %d bytes: %d, not %d", x.n, x.size, got, x.want)
		}
	}
}

// counting is a KV that can fail, and notes what pages were asked for.
type counting struct {
	clientv3.KV
	fail   error
	limits []int64
}

func (c *counting) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if c.fail != nil {
		return nil, c.fail
	}
	r, err := c.KV.Get(ctx, key, opts...)
	if err == nil {
		c.limits = append(c.limits, int64(len(r.Kvs)))
	}
	return r, err
}

// All pages show one revision, whatever is written between them, and a failed one is read again.
func TestPagesAreOfOneRevision(t *testing.T) {
	c := clienttest.Shared(t)
	ctx := clienttest.Within(t, time.Minute)
	var want []string
	for i := range 250 {
		key := fmt.Sprintf("%s/%03d", t.Name(), i)
		want = append(want, key)
		if _, err := c.Put(ctx, key, strings.Repeat("v", 100)); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []int64{0, 40, 1000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			kv := &counting{KV: c}
			p := PrefixPages(kv, "TestPagesAreOfOneRevision/")
			p.Size, p.Try = size, 10*time.Second
			var got []string
			var rev int64
			for n := 0; p.More(); n++ {
				kv.fail = errors.New("not now")
				if _, err := p.Next(ctx); !errors.Is(err, kv.fail) || !p.More() {
					t.Fatalf("%v", err)
				}
				kv.fail = nil
				r, err := p.Next(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					rev = r.Header.Revision
				}
				if p.Rev != rev {
					t.Errorf("page %d is of revision %d, the first of %d", n, p.Rev, rev)
				}
				for _, k := range r.Kvs {
					got = append(got, string(k.Key))
				}
				late := fmt.Sprintf("TestPagesAreOfOneRevision/%03d-late", 249-n)
				if _, err := c.Put(ctx, late, ""); err != nil {
					t.Fatal(err)
				}
				defer c.Delete(ctx, late)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d keys, not %d: %v", len(got), len(want), kv.limits)
			}
			if size == 40 && slices.Max(kv.limits) > 40 || size == 0 && len(kv.limits) != 2 {
				t.Errorf("pages of %v keys", kv.limits)
			}
		})
	}
}

func TestPagesOfNothing(t *testing.T) {
	p := PrefixPages(clienttest.Shared(t), t.Name())
	r, err := p.Next(clienttest.Within(t, 10*time.Second))
	if err != nil || len(r.Kvs) != 0 || p.More() || p.Rev == 0 {
		t.Errorf("%v, %v, more %v, revision %d", r, err, p.More(), p.Rev)
	}
}
