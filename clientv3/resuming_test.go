package clientv3_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// picture is a consumer's view of a range.
type picture map[string]string

func (p picture) apply(r clientv3.WatchResponse) {
	for _, e := range r.Events {
		if e.Type == clientv3.EventTypeDelete {
			delete(p, string(e.Kv.Key))
		} else {
			p[string(e.Kv.Key)] = string(e.Kv.Value)
		}
	}
}

// While a watch cannot receive, keys change, go and come, and the history of it is
// compacted; then the difference is delivered, and the watch goes on.
func TestResumingWatchSurvivesCompaction(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	m := cl.Members()[0]
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	direct := dial(t, clientv3.Config{Endpoints: []string{m.Direct}})
	ctx := ctxFor(t, 2*long)
	put := func(k, v string) int64 {
		t.Helper()
		r, err := direct.Put(ctx, k, v)
		if err != nil {
			t.Fatal(err)
		}
		return r.Header.Revision
	}
	put("p/before", "1")
	put("p/goes", "1")
	w := clientv3.NewResumingWatcher(c, c)
	defer w.Close()
	ch := w.Watch(ctx, "p/", clientv3.WithPrefix())
	plain := c.Watch(ctx, "p/", clientv3.WithPrefix())
	have := picture{"p/before": "1", "p/goes": "1"}
	put("p/live", "1")
	have.apply(next(t, ch))
	next(t, plain)
	m.Proxy().Refuse()
	m.Proxy().Cut()
	for i := range 5 {
		put("p/before", fmt.Sprint(i))
	}
	if _, err := direct.Delete(ctx, "p/goes"); err != nil {
		t.Fatal(err)
	}
	put("p/brief", "x")
	if _, err := direct.Delete(ctx, "p/brief"); err != nil {
		t.Fatal(err)
	}
	rev := put("p/comes", "new")
	put("elsewhere", "x")
	if _, err := direct.Compact(ctx, rev); err != nil {
		t.Fatal(err)
	}
	if err := m.Proxy().Heal(); err != nil {
		t.Fatal(err)
	}
	r := next(t, ch)
	if !r.Synthesized || r.Err() != nil || r.Header.Revision < rev {
		t.Fatalf("after the compaction: %+v", r)
	}
	have.apply(r)
	want := picture{"p/before": "4", "p/live": "1", "p/comes": "new"}
	if fmt.Sprint(have) != fmt.Sprint(want) {
		t.Errorf("the consumer has %v, etcd %v", have, want)
	}
	if len(r.Events) != 4 {
		t.Errorf("%d synthesized events, want one put of each key and one delete", len(r.Events))
	}
	if r := next(t, plain); r.Err() != rpctypes.ErrCompacted {
		t.Errorf("an ordinary watch: %+v", r)
	}
	put("p/live", "2")
	if r := next(t, ch); r.Synthesized || string(r.Events[0].Kv.Value) != "2" {
		t.Errorf("afterwards: %+v", r)
	}
}

// TestResumingWatchFiltersPuts: the watch filters puts. A key that was put after it began, and
// deleted while it could not receive, is delivered as deleted.
func TestResumingWatchFiltersPuts(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	m := cl.Members()[0]
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	direct := dial(t, clientv3.Config{Endpoints: []string{m.Direct}})
	ctx := ctxFor(t, 2*long)
	do := func(op clientv3.Op) int64 {
		t.Helper()
		r, err := direct.Do(ctx, op)
		if err != nil {
			t.Fatal(err)
		}
		if op.IsDelete() {
			return r.Del().Header.Revision
		}
		return r.Put().Header.Revision
	}
	do(clientv3.OpPut("f/before", "1"))
	w := clientv3.NewResumingWatcher(c, c)
	defer w.Close()
	ch := w.Watch(ctx, "f/", clientv3.WithPrefix(), clientv3.WithFilterPut())
	do(clientv3.OpPut("f/later", "1"))
	do(clientv3.OpPut("f/live", "1"))
	do(clientv3.OpDelete("f/live"))
	deleted := func(r clientv3.WatchResponse) (keys []string) {
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		for _, e := range r.Events {
			if e.Type != clientv3.EventTypeDelete {
				t.Errorf("%v of %s", e.Type, e.Kv.Key)
			}
			keys = append(keys, string(e.Kv.Key))
		}
		return keys
	}
	if keys := deleted(next(t, ch)); fmt.Sprint(keys) != "[f/live]" {
		t.Fatalf("deleted: %v", keys)
	}
	m.Proxy().Refuse()
	m.Proxy().Cut()
	do(clientv3.OpDelete("f/later"))
	rev := do(clientv3.OpPut("f/comes", "1"))
	do(clientv3.OpPut("elsewhere", "1"))
	if _, err := direct.Compact(ctx, rev); err != nil {
		t.Fatal(err)
	}
	if err := m.Proxy().Heal(); err != nil {
		t.Fatal(err)
	}
	r := next(t, ch)
	if keys := deleted(r); !r.Synthesized || fmt.Sprint(keys) != "[f/later]" {
		t.Errorf("after the compaction: %v of %+v", keys, r)
	}
	do(clientv3.OpDelete("f/comes"))
	if keys := deleted(next(t, ch)); fmt.Sprint(keys) != "[f/comes]" {
		t.Errorf("afterwards: %v", keys)
	}
}

func TestResumingWatchFromCompactedRevision(t *testing.T) {
	t.Parallel()
	c := dial(t, clientv3.Config{Endpoints: etcdtest.Start(t, etcdtest.Options{}).Endpoints()})
	ctx := ctxFor(t, long)
	var rev int64
	for i := range 5 {
		r, err := c.Put(ctx, fmt.Sprint("k", i%2), fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		rev = r.Header.Revision
	}
	if _, err := c.Compact(ctx, rev); err != nil {
		t.Fatal(err)
	}
	w := clientv3.NewResumingWatcher(c, c)
	defer w.Close()
	for _, from := range []int64{1, 2} { // a store begins at 1, its first change is 2
		r := next(t, w.Watch(ctx, "k", clientv3.WithPrefix(), clientv3.WithRev(from)))
		have := picture{}
		have.apply(r)
		if !r.Synthesized || fmt.Sprint(have) != fmt.Sprint(picture{"k0": "4", "k1": "3"}) {
			t.Errorf("from %d: %+v gives %v", from, r, have)
		}
	}
}

func TestResumingWatchOrdinaryEnds(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := dial(t, clientv3.Config{Endpoints: etcdtest.Shared(t).Endpoints()})
	w := clientv3.NewResumingWatcher(c, c)
	ctx, cancel := context.WithCancel(ctxFor(t, long))
	ch := w.Watch(ctx, t.Name(), clientv3.WithCreatedNotify())
	if r := next(t, ch); !r.Created {
		t.Errorf("%+v", r)
	}
	rev, err := c.Put(ctx, t.Name(), "v")
	if err != nil {
		t.Fatal(err)
	}
	if r := next(t, ch); r.Synthesized || len(r.Events) != 1 {
		t.Errorf("%+v", r)
	}
	if r := next(t, w.Watch(ctx, t.Name(), clientv3.WithRev(rev.Header.Revision))); len(r.Events) != 1 {
		t.Errorf("from a revision: %+v", r)
	}
	cancel()
	closed(t, ch)
	r := next(t, w.Watch(ctxFor(t, long), "k", clientv3.WithLimit(3)))
	if clientv3.Code(r.Err()) != codes.InvalidArgument {
		t.Errorf("an option that does not fit: %+v", r)
	}
	open := w.Watch(ctxFor(t, long), t.Name())
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for range open {
	}
	if r := next(t, w.Watch(ctxFor(t, long), "k")); !errors.Is(r.Err(), clientv3.ErrClosed) {
		t.Errorf("after Close: %+v", r)
	}
}

// early is a KV whose calls report the end of their context a moment before it.
type early struct{ clientv3.KV }

func (early) Get(context.Context, string, ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return nil, context.DeadlineExceeded
}

// A watch whose context ends while it begins is closed without a response, also if a call's own
// error comes first.
func TestResumingWatchWhoseContextEnds(t *testing.T) {
	c := shared(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	for r := range clientv3.NewResumingWatcher(c, early{c}).Watch(ctx, t.Name()) {
		t.Errorf("%+v, %v", r, r.Err())
	}
}
