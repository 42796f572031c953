package cache_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fairlead-go/fairlead/cache"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// TestManyWatches: watches begin and end at any time, read at once or pause until a lot has
// happened, and each sees every event from its start on, once and in order. History is short, so
// watches that pause go on in etcd and come back.
func TestManyWatches(t *testing.T) {
	c := clienttest.Shared(t)
	p := t.Name() + "/"
	ca := open(t, c, []string{p}, cache.WithHistory(20, 1<<20))
	const writes, keys, watches = 600, 3, 30
	var revs [writes]atomic.Int64 // of each write
	var written atomic.Int64
	var wg sync.WaitGroup
	for w := range watches {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), clienttest.Long)
			defer cancel()
			begin := int64(w * writes / watches / 2)
			clienttest.Await(t, "the beginning", func() bool { return written.Load() > begin })
			opts := []clientv3.OpOption{clientv3.WithRev(revs[begin].Load())}
			key, step := p, int64(1)
			if w%3 == 0 { // one key only
				key, step = fmt.Sprint(p, begin%keys), keys
			} else {
				opts = append(opts, clientv3.WithPrefix())
			}
			next := begin
			for r := range ca.Watch(ctx, key, opts...) {
				if r.Err() != nil {
					t.Errorf("watch %d: %v", w, r.Err())
					return
				}
				for _, e := range r.Events {
					if got := string(e.Kv.Value); got != fmt.Sprint(next) {
						t.Errorf("watch %d: %s instead of %d", w, got, next)
						return
					}
					next += step
				}
				if next >= writes || (w%7 == 0 && next > begin+100) {
					return
				}
				if w%2 == 0 && next%50 == 0 {
					to := min(next+100, writes)
					clienttest.Await(t, "writes", func() bool { return written.Load() >= to })
				}
			}
			t.Errorf("watch %d ended at %d: %v", w, next, ctx.Err())
		})
	}
	for i := range writes {
		revs[i].Store(put(t, c, fmt.Sprint(p, i%keys), fmt.Sprint(i)))
		written.Store(int64(i) + 1)
	}
	wg.Wait()
}
