package clientv3_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// next returns the next response of a watch.
func next(t testing.TB, ch clientv3.WatchChan) clientv3.WatchResponse {
	t.Helper()
	limit := time.NewTimer(long)
	defer limit.Stop()
	select {
	case r, ok := <-ch:
		if !ok {
			t.Fatal("the watch was closed")
		}
		return r
	case <-limit.C:
		t.Fatal("the watch is silent")
	}
	panic("unreachable")
}

// closed waits for the end of a watch and fails if anything comes before.
func closed(t testing.TB, ch clientv3.WatchChan) {
	t.Helper()
	limit := time.NewTimer(long)
	defer limit.Stop()
	select {
	case r, ok := <-ch:
		if ok {
			t.Fatalf("got %+v, want the end", r)
		}
	case <-limit.C:
		t.Fatal("the watch does not end")
	}
}

func describe(e *clientv3.Event) string {
	s := fmt.Sprintf("%v %s=%s", e.Type, e.Kv.Key, e.Kv.Value)
	if e.PrevKv != nil {
		s += " was " + string(e.PrevKv.Value)
	}
	return s
}

func TestWatchDeliversEveryChangeOnce(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	p := t.Name() + "/"
	watch := c.Watch(ctx, p, clientv3.WithPrefix())
	var first int64
	for i := range 100 {
		r, err := c.Put(ctx, fmt.Sprint(p, i%10), fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		if first == 0 {
			first = r.Header.Revision
		}
	}
	check := func(ch clientv3.WatchChan) {
		t.Helper()
		seen, rev := 0, int64(0)
		for seen < 100 {
			r := next(t, ch)
			for _, e := range r.Events {
				if e.Kv.ModRevision <= rev || string(e.Kv.Value) != fmt.Sprint(seen) {
					t.Fatalf("event %d is %v", seen, e)
				}
				rev = e.Kv.ModRevision
				seen++
			}
		}
	}
	check(watch)
	check(c.Watch(ctx, p, clientv3.WithPrefix(), clientv3.WithRev(first)))
}

func TestWatchOptions(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	k := t.Name()
	type watched struct {
		name string
		ch   clientv3.WatchChan
		want []string
	}
	open := func(name string, want []string, key string, opts ...clientv3.OpOption) watched {
		return watched{name, c.Watch(ctx, key, opts...), want}
	}
	list := []watched{
		open("one key", []string{"PUT " + k + "=1", "PUT " + k + "=2", "DELETE " + k + "="}, k),
		open(
			"previous",
			[]string{"PUT " + k + "=1", "PUT " + k + "=2 was 1", "DELETE " + k + "= was 2"},
			k,
			clientv3.WithPrevKV(),
		),
		open("no puts", []string{"DELETE " + k + "="}, k, clientv3.WithFilterPut()),
		open("no deletes", []string{"PUT " + k + "=1", "PUT " + k + "=2"}, k, clientv3.WithFilterDelete()),
		open(
			"range",
			[]string{"PUT " + k + "=1", "PUT " + k + "=2", "DELETE " + k + "="},
			k,
			clientv3.WithRange(k+"x"),
		),
		open(
			"fragments",
			[]string{"PUT " + k + "=1", "PUT " + k + "=2", "DELETE " + k + "="},
			k,
			clientv3.WithFragment(),
			clientv3.WithWatchBufLog(),
		),
	}
	created := c.Watch(ctx, k, clientv3.WithCreatedNotify())
	if r := next(t, created); !r.Created || len(r.Events) != 0 || r.IsProgressNotify() {
		t.Errorf("created notice: %+v", r)
	}
	for _, v := range []string{"1", "2"} {
		if _, err := c.Put(ctx, k, v); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Delete(ctx, k); err != nil {
		t.Fatal(err)
	}
	for _, w := range list {
		for _, want := range w.want {
			if got := describe(next(t, w.ch).Events[0]); got != want {
				t.Errorf("%s: got %q, want %q", w.name, got, want)
			}
		}
	}
	if e := next(t, created).Events[0]; e.Type != clientv3.EventTypePut || !e.IsCreate() {
		t.Errorf("%v is no creation", e)
	}
}

func TestWatchProgress(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	ch := c.Watch(ctx, t.Name(), clientv3.WithProgressNotify())
	r, err := c.Put(ctx, t.Name()+"/other", "v")
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the server says how far it is", func() bool {
		if err := c.RequestProgress(ctx); err != nil {
			t.Fatal(err)
		}
		p := next(t, ch)
		return p.IsProgressNotify() && p.Header.Revision >= r.Header.Revision
	})
}

func TestWatchEnds(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := dial(t, clientv3.Config{Endpoints: etcdtest.Shared(t).Endpoints()})
	ctx, cancel := context.WithCancel(ctxFor(t, long))
	ch := c.Watch(ctx, t.Name())
	cancel()
	closed(t, ch) // no response, and no error, when the context ends
	closed(t, c.Watch(ctx, t.Name()))

	ch = c.Watch(ctxFor(t, long), t.Name())
	if err := c.Watcher.Close(); err != nil {
		t.Fatal(err)
	}
	for r := range ch {
		if r.Err() == nil {
			t.Errorf("closing the watcher delivered %+v", r)
		}
	}
	r := next(t, c.Watch(ctxFor(t, long), t.Name()))
	if !r.Canceled || !errors.Is(r.Err(), clientv3.ErrClosed) {
		t.Errorf("watching after Close: %+v, %v", r, r.Err())
	}
	if err := c.RequestProgress(ctxFor(t, long)); !errors.Is(err, clientv3.ErrClosed) {
		t.Errorf("progress after Close: %v", err)
	}
}

func TestWatchCompacted(t *testing.T) {
	t.Parallel()
	c := dial(t, clientv3.Config{Endpoints: etcdtest.Start(t, etcdtest.Options{}).Endpoints()})
	ctx := ctxFor(t, long)
	var rev int64
	for range 10 {
		r, err := c.Put(ctx, "k", "v")
		if err != nil {
			t.Fatal(err)
		}
		rev = r.Header.Revision
	}
	if _, err := c.Compact(ctx, rev); err != nil {
		t.Fatal(err)
	}
	ch := c.Watch(ctx, "k", clientv3.WithRev(2))
	r := next(t, ch)
	if !r.Canceled || r.CompactRevision != rev || r.Err() != rpctypes.ErrCompacted {
		t.Errorf("%+v, %v", r, r.Err())
	}
	closed(t, ch)
	future := c.Watch(ctx, "k", clientv3.WithRev(rev+2))
	for range 2 {
		if _, err := c.Put(ctx, "k", "later"); err != nil {
			t.Fatal(err)
		}
	}
	if e := next(t, future).Events[0]; e.Kv.ModRevision != rev+2 {
		t.Errorf("a watch from a future revision began with %v", e)
	}
}

func TestWatchBadOptions(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	var nilCtx context.Context
	for name, ch := range map[string]clientv3.WatchChan{
		"lease":        c.Watch(ctx, "k", clientv3.WithLease(1)),
		"limit":        c.Watch(ctx, "k", clientv3.WithLimit(1)),
		"sort":         c.Watch(ctx, "k", clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)),
		"serializable": c.Watch(ctx, "k", clientv3.WithSerializable()),
		"both ranges":  c.Watch(ctx, "k", clientv3.WithPrefix(), clientv3.WithFromKey()),
		"nil context":  c.Watch(nilCtx, "k"),
	} {
		r := next(t, ch)
		if !r.Canceled || r.Header == nil || clientv3.Code(r.Err()) != codes.InvalidArgument {
			t.Errorf("%s: %+v, %v", name, r, r.Err())
		}
		closed(t, ch)
	}
}

// TestWatchOfEmptyRange: the server refuses it with a reason that has no value of its own,
// which another stream would give too.
func TestWatchOfEmptyRange(t *testing.T) {
	c := shared(t)
	ctx := ctxFor(t, long)
	ch := c.Watch(ctx, "a", clientv3.WithRange("a"), clientv3.WithCreatedNotify())
	r := next(t, ch)
	if !r.Canceled || r.Created || r.Err() == nil || r.CancelReason == "" {
		t.Errorf("%+v, %v", r, r.Err())
	}
	closed(t, ch)
}

// Connections break and members restart. Every watch goes on exactly where it was.
func TestWatchSurvivesBrokenConnections(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3, Proxied: true})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, 2*long)
	const n = 60
	ch := c.Watch(ctx, "k")
	go func() {
		for i := range n {
			if i%10 == 5 {
				cl.Members()[(i/10)%3].Proxy().Reset()
				cl.Members()[(i/10)%3].Proxy().Heal()
			}
			for { // the value tells repetitions apart
				if _, err := c.Put(ctx, "k", fmt.Sprint(i)); err == nil || ctx.Err() != nil {
					break
				}
			}
		}
	}()
	rev, last := int64(0), -1
	for last < n-1 {
		r := next(t, ch)
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		for _, e := range r.Events {
			var i int
			if _, err := fmt.Sscan(string(e.Kv.Value), &i); err != nil {
				t.Fatal(err)
			}
			if e.Kv.ModRevision <= rev || i < last || i > last+1 || e.Type != mvccpb.Event_PUT {
				t.Fatalf("event %v after value %d at revision %d", e, last, rev)
			}
			rev, last = e.Kv.ModRevision, i
		}
	}
}

func TestWatchWithoutQuorum(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Members: 3})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, 3*long)
	patient := c.Watch(ctx, "k")
	strict := c.Watch(clientv3.WithRequireLeader(ctx), "k")
	cl.Members()[0].Kill()
	cl.Members()[1].Kill()
	r := next(t, strict)
	if !r.Canceled || r.Err() != rpctypes.ErrNoLeader {
		t.Errorf("a watch that requires a leader ended with %+v, %v", r, r.Err())
	}
	closed(t, strict)
	for _, m := range cl.Members()[:2] {
		if err := m.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Put(ctx, "k", "back"); err != nil {
		t.Fatal(err)
	}
	if r := next(t, patient); r.Err() != nil || string(r.Events[0].Kv.Value) != "back" {
		t.Errorf("the other one: %+v", r)
	}
}

// Watches share a stream although each has metadata of its own, as with tracing.
func TestWatchesShareStreams(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, long)
	for i := range 50 {
		c.Watch(metadata.AppendToOutgoingContext(ctx, "trace-id", fmt.Sprint(i)), "k")
	}
	n, err := cl.Members()[0].Metric(
		ctx,
		`grpc_server_started_total{grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"}`,
	)
	if err != nil || n > 2 {
		t.Errorf("50 watches opened %v streams, %v", n, err)
	}
}

// Watches that begin while the client is closed end, one way or the other.
func TestWatchWhileClosing(t *testing.T) {
	endpoints := etcdtest.Shared(t).Endpoints()
	for range 50 {
		c := dial(t, clientv3.Config{Endpoints: endpoints})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 10 {
					for r := range c.Watch(context.Background(), t.Name()) {
						if err := r.Err(); err != nil && !errors.Is(err, clientv3.ErrClosed) {
							t.Error(err)
						}
					}
				}
			})
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	}
}
