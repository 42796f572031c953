package clientv3_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// History that does not fit into one message comes in fragments, also to a watch that did not ask
// for them.
func TestWatchAboveReceiveLimit(t *testing.T) {
	cl := etcdtest.Shared(t)
	writer := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), MaxCallSendMsgSize: 1 << 20, MaxCallRecvMsgSize: 3 << 20})
	ctx, prefix := ctxFor(t, long), t.Name()+"/"
	const n = 50
	first := int64(0)
	for i := range n {
		r, err := writer.Put(ctx, fmt.Sprint(prefix, i), strings.Repeat("x", 100<<10))
		if err != nil {
			t.Fatal(err)
		}
		if first == 0 {
			first = r.Header.Revision
		}
	}
	other := c.Watch(ctx, prefix+"other")
	seen := 0
	for r := range c.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(first)) {
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		for _, ev := range r.Events {
			if want := fmt.Sprint(prefix, seen); string(ev.Kv.Key) != want {
				t.Fatalf("%s instead of %s", ev.Kv.Key, want)
			}
			seen++
		}
		if seen == n {
			break
		}
	}
	if seen != n {
		t.Fatalf("%d of %d events", seen, n)
	}
	if _, err := writer.Put(ctx, prefix+"other", "v"); err != nil {
		t.Fatal(err)
	}
	if r := next(t, other); r.Err() != nil || len(r.Events) != 1 {
		t.Errorf("the other watch: %+v", r)
	}
}

// A large response of several revisions is followed by fragments: the watch is created again in
// between.
func TestWatchGoesOnInFragments(t *testing.T) {
	cl := etcdtest.Shared(t)
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx, prefix := ctxFor(t, long), t.Name()+"/"
	const n = 40
	first := int64(0)
	put := func(i int) {
		r, err := c.Put(ctx, fmt.Sprint(prefix, i), strings.Repeat("x", 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		if first == 0 {
			first = r.Header.Revision
		}
	}
	for i := range n {
		put(i)
	}
	w := c.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(first))
	for i := 0; i <= n; {
		r := next(t, w)
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		for _, ev := range r.Events {
			if want := fmt.Sprint(prefix, i); string(ev.Kv.Key) != want {
				t.Fatalf("%s instead of %s", ev.Kv.Key, want)
			}
			i++
		}
		if i == n {
			put(n)
		}
	}
	if _, err := c.Delete(ctx, prefix, clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	if r := next(t, w); len(r.Events) != n+1 {
		t.Errorf("a deletion of %d keys: %d events, %v", n+1, len(r.Events), r.Err())
	}
}
