package cache_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/fairlead-go/fairlead/cache"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A copy that has had no change since it was listed shows what a wiped etcd has, even if that etcd
// has meanwhile reached higher revisions. So does an empty copy.
func TestWipedEtcdThatOvertook(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	ctx := clienttest.Within(t, 3*clienttest.Long)
	for range 9 {
		_, err := c.Put(ctx, "full/k", "v")
		ok(t, "Put", err)
	}
	copies, err := cache.New(c, []string{"full/", "empty/"})
	ok(t, "New", err)
	defer copies.Close()
	ok(t, "WaitReady", copies.WaitReady(ctx))
	clienttest.Overtake(t, cluster, map[string]string{"full/k": "anew", "empty/k": "anew"})
	for _, key := range []string{"full/k", "empty/k"} {
		clienttest.Await(t, key+" of the new history", func() bool {
			r, err := copies.Get(ctx, key, clientv3.WithSerializable())
			return err == nil && len(r.Kvs) == 1 && string(r.Kvs[0].Value) == "anew"
		})
	}
}

// held is a Watcher whose watches are asked for later.
type held struct {
	clientv3.Watcher
	until chan struct{}
}

func (h *held) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	select {
	case <-h.until:
	case <-ctx.Done():
	}
	return h.Watcher.Watch(ctx, key, opts...)
}

// TestRestoreBehindAPromise: a copy's revision is ahead of its newest key, since etcd says so, by a
// notification or for a read, or since it was listed there. Then a backup is restored that has that
// key, and is overtaken. The copy becomes what etcd has.
func TestRestoreBehindAPromise(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args   []string
		listed bool // after the writes of others
		held   bool // the watch is asked for after the restore
		reads  bool // reads bring the copy up to date
	}{
		"notified": {args: []string{"--watch-progress-notify-interval=100ms"}},
		"read":     {reads: true},
		"listed":   {listed: true},
		"held":     {listed: true, held: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cl := etcdtest.Start(t, etcdtest.Options{Proxied: true, Args: c.args})
			m := cl.Members()[0]
			direct := clienttest.Dial(t, m.Direct)
			write := func(what string, do func() error) {
				t.Helper()
				clienttest.Await(t, what, func() bool { return do() == nil })
			}
			others := func() (rev int64) {
				t.Helper()
				for i := range 30 {
					write("a put of others", func() error {
						r, err := direct.Put(within(t), fmt.Sprint("elsewhere/", i), "v")
						if err == nil {
							rev = r.Header.Revision
						}
						return err
					})
				}
				return rev
			}
			put(t, direct, "p/old", "v")
			put(t, direct, "p/kept", "v")
			backup := clienttest.Backup(t, cl)
			if c.listed {
				others()
			}
			client := clienttest.Dial(t, cl.Endpoints()...)
			h := &held{Watcher: clientv3.NewWatcher(client), until: make(chan struct{})}
			t.Cleanup(func() { h.Close() }) // after the cache
			if !c.held {
				close(h.until)
			}
			ca := open(t, client, []string{"p/"}, cache.WithSource(client, h))
			w := ca.Watch(within(t), "p/", clientv3.WithPrefix())
			if !c.listed {
				rev := others()
				clienttest.Await(t, "the copy's revision", func() bool {
					if c.reads {
						_, err := ca.Get(within(t), "p/old")
						ok(t, "Get", err)
					}
					return ca.States()[0].Revision >= rev
				})
			}
			m.Proxy().Cut()
			clienttest.PutBack(t, cl, backup)
			write("a put", func() error { _, err := direct.Put(within(t), "p/new", "v"); return err })
			write("a deletion", func() error { _, err := direct.Delete(within(t), "p/old"); return err })
			others()
			others()
			ok(t, "Heal", m.Proxy().Heal())
			write("a put", func() error { _, err := direct.Put(within(t), "p/late", "v"); return err })
			if c.held {
				_, err := client.Get(within(t), "p/kept") // the new connection is there
				ok(t, "Get", err)
				close(h.until)
			}
			clienttest.Await(t, "the keys of the new history", func() bool {
				r, err := ca.Get(within(t), "p/", clientv3.WithPrefix(), clientv3.WithSerializable())
				s := ""
				for _, kv := range r.Kvs {
					s += string(kv.Key) + " "
				}
				return err == nil && s == "p/kept p/late p/new "
			})
			have := map[string]bool{"p/old": true, "p/kept": true}
			for len(have) != 3 || have["p/old"] {
				for _, e := range clienttest.Receive(t, "the difference", w).Events {
					if e.Type == clientv3.EventTypeDelete {
						delete(have, string(e.Kv.Key))
					} else {
						have[string(e.Kv.Key)] = true
					}
				}
			}
			if s := ca.States()[0]; s.Lists != 2 || s.Resets != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}
