package clientv3_test

import (
	"errors"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/mirror"
	"github.com/fairlead-go/fairlead/clientv3/namespace"
	naming "github.com/fairlead-go/fairlead/clientv3/naming/endpoints"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func put(t *testing.T, kv clientv3.KV, key, value string) {
	t.Helper()
	if _, err := kv.Put(ctxFor(t, long), key, value); err != nil {
		t.Fatal(err)
	}
}

// listed reads a range, and watches it from there.
func listed(
	t *testing.T,
	kv clientv3.KV,
	w clientv3.Watcher,
	key string,
	opts ...clientv3.OpOption,
) clientv3.WatchChan {
	t.Helper()
	l := clientv3.NewListing(0)
	r, err := kv.Get(ctxFor(t, long), key, opts...)
	if err != nil {
		t.Fatal(err)
	}
	l.Add(r)
	return w.Watch(t.Context(), key, append(opts[:min(len(opts), 1)], clientv3.WithListing(l))...)
}

// A watch that has had no event since its listing finds out from the listing that etcd was wiped,
// although etcd has reached higher revisions meanwhile.
func TestListingOverAWipe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		watch func(t *testing.T, c *clientv3.Client) clientv3.WatchChan
		keys  map[string]string
	}{
		"one key": {func(t *testing.T, c *clientv3.Client) clientv3.WatchChan {
			put(t, c, "k", "v")
			put(t, c, "other", "v")
			return listed(t, c, c, "k")
		}, map[string]string{"k": "anew"}},
		"a prefix": {func(t *testing.T, c *clientv3.Client) clientv3.WatchChan {
			for _, k := range []string{"k/1", "k/2", "other"} {
				put(t, c, k, "v")
			}
			return listed(t, c, c, "k/", clientv3.WithPrefix())
		}, map[string]string{"k/1": "anew", "k/2": "anew"}},
		"keys only": {func(t *testing.T, c *clientv3.Client) clientv3.WatchChan {
			put(t, c, "k/1", "v")
			return listed(t, c, c, "k/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
		}, map[string]string{"first": "anew", "k/1": "anew"}},
		"nothing": {func(t *testing.T, c *clientv3.Client) clientv3.WatchChan {
			for range 9 {
				put(t, c, "other", "v")
			}
			return listed(t, c, c, "k/", clientv3.WithPrefix())
		}, map[string]string{"k/1": "anew"}},
		"in a namespace": {func(t *testing.T, c *clientv3.Client) clientv3.WatchChan {
			kv, w := namespace.NewKV(c.KV, "ns/"), namespace.NewWatcher(c.Watcher, "ns/")
			put(t, kv, "k/1", "v")
			return listed(t, kv, w, "k/", clientv3.WithPrefix())
		}, map[string]string{"first": "anew", "ns/k/1": "anew"}},
		"all of a namespace": {func(t *testing.T, c *clientv3.Client) clientv3.WatchChan {
			kv, w := namespace.NewKV(c.KV, "ns/"), namespace.NewWatcher(c.Watcher, "ns/")
			put(t, kv, "k/1", "v")
			return listed(t, kv, w, "", clientv3.WithPrefix())
		}, map[string]string{"first": "anew", "ns/k/1": "anew"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
			w := c.watch(t, dial(t, clientv3.Config{Endpoints: cluster.Endpoints()}))
			clienttest.Overtake(t, cluster, c.keys)
			if r := next(t, w); !r.Canceled || !errors.Is(r.Err(), clientv3.ErrHistoryLost) {
				t.Errorf("%+v, %v", r, r.Err())
			}
		})
	}
}

// Everything that lists a range and watches it from there shows the new keys after a wipe.
func TestFollowersOverAWipe(t *testing.T) {
	t.Parallel()
	for name, follow := range map[string]func(t *testing.T, c *clientv3.Client, have func(key, value string)){
		"resuming": func(t *testing.T, c *clientv3.Client, have func(key, value string)) {
			w := clientv3.NewResumingWatcher(c, c)
			t.Cleanup(func() { w.Close() })
			changes := w.Watch(t.Context(), "k/", clientv3.WithPrefix())
			go func() {
				for r := range changes {
					for _, ev := range r.Events {
						have(string(ev.Kv.Key), string(ev.Kv.Value))
					}
				}
			}()
		},
		"mirror": func(t *testing.T, c *clientv3.Client, have func(key, value string)) {
			target := dial(t, clientv3.Config{Endpoints: etcdtest.Start(t, etcdtest.Options{}).Endpoints()})
			go mirror.Run(t.Context(), c, target, mirror.WithPrefix("k/"))
			clienttest.Await(t, "the mirror is there", func() bool {
				r, err := target.Get(ctxFor(t, long), "k/1")
				return err == nil && r.Count == 1
			})
			changes := target.Watch(t.Context(), "k/", clientv3.WithPrefix())
			go func() {
				for r := range changes {
					for _, ev := range r.Events {
						have(string(ev.Kv.Key), string(ev.Kv.Value))
					}
				}
			}()
		},
		"endpoints": func(t *testing.T, c *clientv3.Client, have func(key, value string)) {
			m, err := naming.NewManager(c, "k")
			if err != nil {
				t.Fatal(err)
			}
			changes, err := m.NewWatchChannel(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for us := range changes {
					for _, u := range us {
						if u.Op == naming.Delete { // a value that is no endpoint counts as deleted
							have(u.Key, "anew")
						}
					}
				}
			}()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
			c := dial(t, clientv3.Config{Endpoints: cluster.Endpoints()})
			put(t, c, "k/1", `{"Op":0,"Addr":"127.0.0.1:1"}`)
			seen := make(chan string, 100)
			follow(t, c, func(key, value string) {
				if value == "anew" {
					seen <- key
				}
			})
			clienttest.Overtake(t, cluster, map[string]string{"k/1": "anew"})
			if key := clienttest.Receive(t, "the key of the new history", seen); key != "k/1" {
				t.Error(key)
			}
		})
	}
}

// A listing goes with a watch of the same range only.
func TestListingMistakes(t *testing.T) {
	t.Parallel()
	c := shared(t)
	put(t, c, t.Name()+"/a", "v")
	r, err := c.Get(ctxFor(t, long), t.Name()+"/a")
	if err != nil {
		t.Fatal(err)
	}
	l := clientv3.NewListing(0)
	l.Add(r)
	for name, w := range map[string]clientv3.WatchChan{
		"nil":          c.Watch(t.Context(), "k", clientv3.WithListing(nil)),
		"no answer":    c.Watch(t.Context(), "k", clientv3.WithListing(clientv3.NewListing(7))),
		"another key":  c.Watch(t.Context(), t.Name()+"/b", clientv3.WithListing(l)),
		"other prefix": c.Watch(t.Context(), t.Name()+"/b", clientv3.WithListing(l), clientv3.WithPrefix()),
	} {
		if r := next(t, w); r.Err() == nil || clientv3.SameError(r.Err(), clientv3.ErrHistoryLost) {
			t.Errorf("%s: %+v", name, r)
		} else {
			t.Log(r.Err())
		}
	}
	if _, err := c.Get(ctxFor(t, long), t.Name()+"/a", clientv3.WithListing(l)); err == nil {
		t.Error("a get takes a listing")
	}
	nameless := clientv3.NewListing(0) // of a server that does not say its cluster
	nameless.Add(
		&clientv3.GetResponse{Header: &pb.ResponseHeader{Revision: r.Header.Revision}, Kvs: r.Kvs, Count: r.Count},
	)
	var watches []clientv3.WatchChan
	for _, l := range []*clientv3.Listing{l, nameless} {
		watches = append(watches, c.Watch(t.Context(), t.Name()+"/", clientv3.WithPrefix(), clientv3.WithListing(l)))
	}
	put(t, c, t.Name()+"/b", "v")
	for _, w := range watches {
		if r := next(t, w); len(r.Events) != 1 || string(r.Events[0].Kv.Key) != t.Name()+"/b" {
			t.Errorf("%+v", r)
		}
	}
}

// TestListingOfKeysUnderALease: etcd 3.7 leaves the leases out of answers that have keys only. A
// watch that goes on from such a listing is of the same history all the same.
func TestListingOfKeysUnderALease(t *testing.T) {
	t.Parallel()
	c := dial(t, clientv3.Config{Endpoints: etcdtest.Shared(t).Endpoints()})
	ctx := ctxFor(t, long)
	lease, err := c.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	key := t.Name()
	if _, err := c.Put(ctx, key, "v", clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	l := clientv3.NewListing(0)
	r, err := c.Get(ctx, key, clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	l.Add(r)
	w := c.Watch(ctx, key, clientv3.WithListing(l)) // on a stream that is younger, so it has to prove it
	put(t, c, key, "w")
	if r := next(t, w); r.Err() != nil || len(r.Events) != 1 {
		t.Errorf("the watch: %+v, %v", r, r.Err())
	}
}
