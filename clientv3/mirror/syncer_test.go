package mirror_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3/mirror"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// base reads all that SyncBase delivers.
func base(t *testing.T, s mirror.Syncer) (keys int, rev int64, err error) {
	t.Helper()
	ch, failed := s.SyncBase(clienttest.Within(t, clienttest.Long))
	for r := range ch {
		if rev == 0 {
			rev = r.Header.Revision
		}
		keys += len(r.Kvs)
	}
	for e := range failed {
		err = e
	}
	return keys, rev, err
}

func TestSyncer(t *testing.T) {
	c, from, _, _ := oneCluster(t)
	for i := range 2001 {
		put(t, c, fmt.Sprint(from, i), "")
	}
	s := mirror.NewSyncer(c, from, 0)
	n, rev, err := base(t, s)
	if n != 2001 || err != nil {
		t.Fatalf("%d keys, %v", n, err)
	}
	put(t, c, from+"a", "1")
	del(t, c, from+"a")
	ch := s.SyncUpdates(clienttest.Within(t, clienttest.Long))
	for _, want := range []string{"PUT", "DELETE"} {
		r := <-ch
		if len(r.Events) == 2 { // both may come at once
			break
		}
		if len(r.Events) != 1 || r.Events[0].Type.String() != want {
			t.Errorf("%+v, want %s", r, want)
		}
	}

	s = mirror.NewSyncer(c, from, rev) // the past
	if n, _, err := base(t, s); n != 2001 || err != nil {
		t.Errorf("at a revision: %d keys, %v", n, err)
	}
	if n, _, err := base(t, mirror.NewSyncer(c, from+"none", 0)); n != 0 || err != nil {
		t.Errorf("no keys: %d, %v", n, err)
	}
	if n, _, err := base(t, mirror.NewSyncer(c, "", 0)); n < 2001 || err != nil {
		t.Errorf("all keys: %d, %v", n, err)
	}
	if _, _, err := base(t, mirror.NewSyncer(c, from, rev+1000)); err != rpctypes.ErrFutureRev {
		t.Errorf("a future revision: %v", err)
	}
	if _, err := c.Compact(clienttest.Within(t, clienttest.Long), put(t, c, from+"b", "")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := base(t, mirror.NewSyncer(c, from, rev)); err != rpctypes.ErrCompacted {
		t.Errorf("a compacted revision: %v", err)
	}
	early := mirror.NewSyncer(c, from, 0).SyncUpdates(clienttest.Within(t, clienttest.Long))
	if r := <-early; !r.Canceled || r.Err() == nil {
		t.Errorf("updates before the base: %+v", r)
	}
	if _, ok := <-early; ok {
		t.Error("the channel is still open")
	}
}

// TestBaseIsFixedByTheCall: keys written after SyncBase has returned are not in the base, and all
// are in the updates, which may be requested at once. A caller may wait for the error before it
// reads the base.
func TestBaseIsFixedByTheCall(t *testing.T) {
	c, from, _, _ := oneCluster(t)
	const n = 3500
	for i := range n {
		put(t, c, fmt.Sprintf("%s%05d", from, i), "")
	}
	s := mirror.NewSyncer(c, from, 0)
	ctx := clienttest.Within(t, clienttest.Long)
	ch, failed := s.SyncBase(ctx)
	updates := s.SyncUpdates(ctx)
	written := put(t, c, fmt.Sprint(from, "late"), "")
	del(t, c, from+"00000")
	select {
	case err := <-failed:
		if err != nil {
			t.Fatal(err)
		}
	case <-ctx.Done():
		t.Fatal("no end of the base while nobody reads it")
	}
	got := 0
	for r := range ch {
		got += len(r.Kvs)
		for _, kv := range r.Kvs {
			if kv.ModRevision >= written {
				t.Errorf("%s was written after the call", kv.Key)
			}
		}
	}
	if got != n {
		t.Errorf("%d keys, want %d", got, n)
	}
	var events []string
	for len(events) < 2 {
		r, ok := <-updates
		if !ok || r.Err() != nil {
			t.Fatalf("%v, %v", r, ok)
		}
		for _, e := range r.Events {
			events = append(events, fmt.Sprint(e.Type, " ", string(e.Kv.Key[len(from):])))
		}
	}
	if want := "[PUT late DELETE 00000]"; fmt.Sprint(events) != want {
		t.Errorf("updates %v, want %s", events, want)
	}
}

// TestSyncerIsLeft: nothing is left running when a consumer stops reading, or after Close.
func TestSyncerIsLeft(t *testing.T) {
	c, from, _, _ := oneCluster(t)
	for i := range 5 {
		put(t, c, fmt.Sprint(from, i), "")
	}
	etcdtest.CheckLeaks(t)
	own := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	ctx, cancel := context.WithCancel(context.Background())
	mirror.NewSyncer(own, from, 0).SyncBase(ctx)
	cancel()
	mirror.NewSyncer(own, from, 0).SyncBase(context.Background()) // Close ends it
}

func TestCallsEndWithTheirContextsWhileFrozen(t *testing.T) {
	alive, frozen := etcdtest.Start(t, etcdtest.Options{}), etcdtest.Start(t, etcdtest.Options{})
	a, f := clienttest.Dial(t, alive.Endpoints()...), clienttest.Dial(t, frozen.Endpoints()...)
	put(t, a, "a", "")
	put(t, f, "a", "")
	if err := frozen.Members()[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(context.Context) error{
		"source": func(ctx context.Context) error { return mirror.Run(ctx, f, a) },
		"target": func(ctx context.Context) error { return mirror.Run(ctx, a, f) },
		"base": func(ctx context.Context) error {
			ch, failed := mirror.NewSyncer(f, "", 0).SyncBase(ctx)
			for range ch {
			}
			return <-failed
		},
		"updates": func(ctx context.Context) error {
			for range mirror.NewSyncer(f, "", 1).SyncUpdates(ctx) {
			}
			return ctx.Err()
		},
	} {
		begin := time.Now()
		if err := call(clienttest.Within(t, 300*time.Millisecond)); err != context.DeadlineExceeded {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}
