package namespace_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/namespace"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// describe writes an event: its kind, key and value, and the previous value.
func describe(e *clientv3.Event) string {
	s := fmt.Sprintf("%s %s %s", e.Type, e.Kv.Key, e.Kv.Value)
	if e.PrevKv != nil {
		s += fmt.Sprintf(" was %s %s", e.PrevKv.Key, e.PrevKv.Value)
	}
	return s
}

// read reads n events.
func read(t *testing.T, ch clientv3.WatchChan, n int) (list []string) {
	t.Helper()
	timeout := time.NewTimer(clienttest.Long)
	defer timeout.Stop()
	for len(list) < n {
		select {
		case r, ok := <-ch:
			if !ok || r.Err() != nil {
				t.Fatalf("the watch ended (%v) after %q", r.Err(), list)
			}
			for _, e := range r.Events {
				list = append(list, describe(e))
			}
		case <-timeout.C:
			t.Fatalf("only %q in %v", list, clienttest.Long)
		}
	}
	return list
}

func TestWatch(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, c *clientv3.Client, prefix string) {
		w := namespace.NewWatcher(c.Watcher, prefix)
		kv := namespace.NewKV(c.KV, prefix)
		one := w.Watch(ctx, "b", clientv3.WithPrevKV())
		all := w.Watch(ctx, "", clientv3.WithPrefix())
		from := w.Watch(ctx, "b", clientv3.WithFromKey())
		for _, k := range []string{"a", "b", "c"} {
			if _, err := kv.Put(ctx, k, "1"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Put(ctx, "elsewhere", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := kv.Delete(ctx, "b"); err != nil {
			t.Fatal(err)
		}
		if _, err := kv.Put(ctx, "\x00", "1"); err != nil {
			t.Fatal(err)
		}
		want(t, "one", read(t, one, 2), "PUT b 1", "DELETE b  was b 1")
		want(t, "all", read(t, all, 5), "PUT a 1", "PUT b 1", "PUT c 1", "DELETE b ", "PUT \x00 1")
		want(t, "from", read(t, from, 3), "PUT b 1", "PUT c 1", "DELETE b ")
	})
}

// TestWatchEnds: a watch ends with its context and by Close, even if the consumer does not read.
func TestWatchEnds(t *testing.T) {
	server := etcdtest.Shared(t)
	etcdtest.CheckLeaks(t)
	c := clienttest.Dial(t, server.Endpoints()...)
	w := namespace.NewWatcher(clientv3.NewWatcher(c), "ends/")
	kv := namespace.NewKV(c.KV, "ends/")
	ctx, cancel := context.WithCancel(clienttest.Within(t, clienttest.Long))
	cancelled := w.Watch(ctx, "a")
	unread := w.Watch(clienttest.Within(t, clienttest.Long), "a")
	open := w.Watch(clienttest.Within(t, clienttest.Long), "b")
	for range 5 {
		if _, err := kv.Put(ctx, "a", "x"); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "before the end", read(t, unread, 1)[:1], "PUT a x")
	cancel()
	for r := range cancelled {
		if r.Err() != nil {
			t.Errorf("a cancelled watch reports %v", r.Err())
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for r := range open {
		if r.Err() == nil {
			t.Errorf("Close delivered %+v", r)
		}
	}
	for range unread {
	}
	late := <-w.Watch(clienttest.Within(t, clienttest.Long), "a")
	if err := late.Err(); !errors.Is(err, clientv3.ErrClosed) {
		t.Errorf("a watch begun after Close: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	var none context.Context
	if r := <-namespace.NewWatcher(c.Watcher, "x").Watch(none, "a"); r.Err() == nil {
		t.Error("a nil context was accepted")
	}
}

func TestLease(t *testing.T) {
	each(t, func(t *testing.T, ctx context.Context, c *clientv3.Client, prefix string) {
		kv, l := namespace.NewKV(c.KV, prefix), namespace.NewLease(c.Lease, prefix)
		g, err := l.Grant(ctx, 60)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{"b", "a"} {
			if _, err := kv.Put(ctx, k, "", clientv3.WithLease(g.ID)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Put(ctx, "elsewhere", "", clientv3.WithLease(g.ID)); err != nil {
			t.Fatal(err)
		}
		r, err := l.TimeToLive(ctx, g.ID, clientv3.WithAttachedKeys())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range r.Keys {
			got = append(got, string(k))
		}
		if len(got) != 2 || got[0] == got[1] || len(got[0]) != 1 || len(got[1]) != 1 {
			t.Errorf("attached keys: %q", got)
		}
		if _, err := l.Revoke(ctx, g.ID); err != nil {
			t.Error(err)
		}
	})
}
