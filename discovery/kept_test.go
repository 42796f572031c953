package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func ExampleRegistrar_Keep() {
	ctx := context.Background()
	cli := clienttest.ForExample()
	defer cli.Close()
	registrar := discovery.NewRegistrar(cli, discovery.WithTTL(5))
	defer registrar.Close()

	// The key is there for as long as the process lives.
	job, err := registrar.Keep(ctx, "/jobs/17", "host-a")
	if err != nil {
		log.Fatal(err)
	}
	// Another client deletes it, and it is put again.
	deleted, err := cli.Delete(ctx, job.Key())
	if err != nil {
		log.Fatal(err)
	}
	for resp := range cli.Watch(ctx, job.Key(), clientv3.WithRev(deleted.Header.Revision+1)) {
		fmt.Printf("%s is %s\n", resp.Events[0].Kv.Key, resp.Events[0].Kv.Value)
		break
	}
	if err := job.Set(ctx, "host-a, half done"); err != nil {
		log.Fatal(err)
	}
	// Another process does not get it.
	other := discovery.NewRegistrar(cli)
	defer other.Close()
	_, err = other.Keep(ctx, "/jobs/17", "host-b")
	fmt.Println(errors.Is(err, discovery.ErrTaken))
	// Output:
	// /jobs/17 is host-a
	// true
}

// keep keeps keys, one each of some registrars.
func keep(t *testing.T, rs []*discovery.Registrar) (kept []*discovery.Kept) {
	t.Helper()
	for i, r := range rs {
		k, err := r.Keep(within(t), fmt.Sprintf("%s/%d", t.Name(), i), "x")
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, k)
	}
	return kept
}

func restart(t *testing.T, m *etcdtest.Member) {
	t.Helper()
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitReady(within(t)); err != nil {
		t.Fatal(err)
	}
}

// etcd is away for less or more than the TTL, or just as long. No key of a living process ever
// goes, and values that were set meanwhile are there soon after.
func TestKeepThroughOutages(t *testing.T) {
	const ttl, registrars = 2, 10
	for _, percent := range []time.Duration{50, 90, 100, 110, 200} {
		away := ttl * time.Second * percent / 100
		t.Run(fmt.Sprintf("%d%%", percent), func(t *testing.T) {
			t.Parallel()
			cluster := etcdtest.Start(t, etcdtest.Options{})
			c := clienttest.Dial(t, cluster.Endpoints()...)
			var rs []*discovery.Registrar
			for range registrars {
				rs = append(rs, registrar(t, c, discovery.WithTTL(ttl)))
			}
			kept := keep(t, rs)
			began, err := c.Get(within(t), "x")
			if err != nil {
				t.Fatal(err)
			}
			m := cluster.Members()[0]
			m.Kill()
			var setting sync.WaitGroup
			setting.Go(func() {
				if err := kept[0].Set(within(t), "y"); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(away) // the outage itself, not a condition to wait for
			restart(t, m)
			setting.Wait()
			for _, k := range kept {
				want := "x"
				if k == kept[0] {
					want = "y"
				}
				clienttest.Await(t, k.Key(), func() bool { return value(t, c, k.Key()) == want })
			}
			// A lease lives for its TTL after the return: by then all are renewed, or the key has
			// gone.
			end := time.Now().Add((ttl + 1) * time.Second)
			time.Sleep(time.Until(end))
			if _, err := c.Put(within(t), t.Name()+"/end", ""); err != nil {
				t.Fatal(err)
			}
			for w := range c.Watch(within(t), t.Name()+"/", clientv3.WithPrefix(),
				clientv3.WithRev(began.Header.Revision+1)) {
				for _, ev := range w.Events {
					if ev.Type == clientv3.EventTypeDelete {
						t.Errorf("%s went", ev.Kv.Key)
					}
					if string(ev.Kv.Key) == t.Name()+"/end" {
						return
					}
				}
			}
			t.Error("the watch ended")
		})
	}
}

// A wiped etcd knows neither the lease nor the keys: they come back.
func TestKeepWiped(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	k := keep(t, []*discovery.Registrar{registrar(t, c, discovery.WithTTL(2))})[0]
	m := cluster.Members()[0]
	m.Kill()
	if err := os.RemoveAll(m.DataDir); err != nil {
		t.Fatal(err)
	}
	restart(t, m)
	clienttest.Await(t, "the key", func() bool { return value(t, c, k.Key()) == "x" })
	if err := k.Set(within(t), "y"); err != nil || value(t, c, k.Key()) != "y" {
		t.Errorf("%v, %q", err, value(t, c, k.Key()))
	}
}

// A value of another process is never overwritten or removed, except once with WithTakeover. Our
// value comes back when the other one goes.
func TestKeepForeign(t *testing.T) {
	c := clienttest.Shared(t)
	var seen events
	r := registrar(t, c, discovery.WithEvents(seen.add))
	key := t.Name() + "/0"
	if _, err := c.Put(within(t), key, "theirs"); err != nil {
		t.Fatal(err)
	}
	var taken *discovery.TakenError
	if _, err := r.Keep(within(t), key, "x"); !errors.As(err, &taken) || taken.Key != key ||
		value(t, c, key) != "theirs" {
		t.Fatalf("%v, %q", err, value(t, c, key))
	}
	k, err := r.Keep(within(t), key, "x", discovery.WithTakeover())
	if err != nil || value(t, c, key) != "x" {
		t.Fatalf("%v, %q", err, value(t, c, key))
	}
	for round := range 3 {
		if _, err := c.Put(within(t), key, "theirs"); err != nil {
			t.Fatal(err)
		}
		seen.await(t, discovery.Taken, round+1)
		if err := k.Set(within(t), fmt.Sprint(round)); !errors.Is(err, discovery.ErrTaken) {
			t.Errorf("Set while another process has the key: %v", err)
		}
		if v := value(t, c, key); v != "theirs" {
			t.Errorf("%q", v)
		}
		if _, err := c.Delete(within(t), key); err != nil {
			t.Fatal(err)
		}
		seen.await(t, discovery.Restored, round+1)
		if v := value(t, c, key); v != fmt.Sprint(round) {
			t.Errorf("%q", v)
		}
	}
	if _, err := c.Put(within(t), key, "theirs"); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(within(t)); err != nil || value(t, c, key) != "theirs" {
		t.Errorf("%v, %q", err, value(t, c, key))
	}
	if err := k.Set(within(t), "z"); err != discovery.ErrClosed {
		t.Errorf("Set after Close: %v", err)
	}
}

// A forbidden key is refused at once, and the others are kept.
func TestKeepLimitedUser(t *testing.T) {
	mine := t.Name() + "/mine/"
	_, app, root := limited(t, mine)
	r := registrar(t, app)
	for i := range 20 {
		_, err := r.Keep(within(t), fmt.Sprintf("%s/%d", t.Name(), i), "x")
		if clientv3.Code(err) != codes.PermissionDenied {
			t.Errorf("a key that is not allowed: %v", err)
		}
	}
	k, err := r.Keep(within(t), mine+"0", "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.Delete(within(t), k.Key()); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "it is back", func() bool { return value(t, root, k.Key()) == "x" })
}
