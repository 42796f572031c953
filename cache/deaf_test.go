package cache

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// deaf is a Watcher whose watches, from some time on, neither deliver anything nor end, as those
// behind a proxy that has lost its server.
type deaf struct {
	clientv3.Watcher
	now atomic.Bool
}

func (d *deaf) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	from, to := d.Watcher.Watch(ctx, key, opts...), make(chan clientv3.WatchResponse)
	go func() {
		defer close(to)
		for r := range from {
			if d.now.Load() {
				break
			}
			select {
			case to <- r:
			case <-ctx.Done():
				return
			}
		}
		if d.now.Load() {
			<-ctx.Done()
		}
	}()
	return to
}

// A read alone can reveal another history, before any watch does. The new history has as many keys,
// and has reached the copy's revision or a later one.
func TestAnotherHistoryAsLongAsTheCopys(t *testing.T) {
	for name, c := range map[string]struct {
		beyond int // writes elsewhere in the new history, beside those that bring it to the copy's revision
		read   func(context.Context, *Cache) (string, error)
	}{
		"get":         {0, get},
		"sync":        {0, sync1},
		"sync beyond": {1, sync1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := clienttest.Within(t, 3*clienttest.Long)
			cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
			client := clienttest.Dial(t, cluster.Endpoints()...)
			if _, err := client.Put(ctx, "p/k", "before"); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Put(ctx, "elsewhere", ""); err != nil {
				t.Fatal(err)
			}
			w := &deaf{Watcher: clientv3.NewWatcher(client)}
			defer w.Close()
			ca, err := New(client, []string{"p/"}, WithSource(client, w))
			if err != nil {
				t.Fatal(err)
			}
			defer ca.Close()
			if err := ca.WaitReady(ctx); err != nil {
				t.Fatal(err)
			}
			clienttest.Await(t, "the versions", func() bool { return ca.trust.members.Load() != nil })
			w.now.Store(true)
			rewrite(t, cluster, 1+c.beyond)
			if got, err := c.read(ctx, ca); err != nil || got != "after" {
				t.Errorf("%q, %v", got, err)
			}
			clienttest.Await(t, "a new copy", func() bool { return ca.States()[0].Resets > 0 })
		})
	}
}

func get(ctx context.Context, ca *Cache) (string, error) {
	r, err := ca.Get(ctx, "p/k")
	if err != nil || len(r.Kvs) == 0 {
		return "", err
	}
	return string(r.Kvs[0].Value), nil
}

func sync1(ctx context.Context, ca *Cache) (string, error) {
	s, err := ca.Sync(ctx)
	if err != nil {
		return "", err
	}
	return string(s.Get("p/k").GetValue()), nil
}

// rewrite wipes the only member of a cluster, puts p/k again and some other keys.
func rewrite(t *testing.T, cluster *etcdtest.Cluster, others int) {
	t.Helper()
	m := cluster.Members()[0]
	m.Proxy().Cut()
	m.Kill()
	if err := os.RemoveAll(m.DataDir); err != nil {
		t.Fatal(err)
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	ctx := clienttest.Within(t, clienttest.Long)
	if err := m.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	direct := clienttest.Dial(t, m.Direct)
	if _, err := direct.Put(ctx, "p/k", "after"); err != nil {
		t.Fatal(err)
	}
	for n := range others {
		if _, err := direct.Put(ctx, fmt.Sprint("elsewhere", n), ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Proxy().Heal(); err != nil {
		t.Fatal(err)
	}
}
