package discovery_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A restored backup has the record of an earlier run of an instance, with another address. The
// instance can register only when the earlier run's lease has ended. Until then views keep it. An
// instance that does not register again goes, and views show the record that etcd has.
func TestRestoredEarlierRun(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	at := func(id, address string) discovery.Instance {
		in := orders(t, id)
		in.Addresses = []string{address}
		return in
	}
	put := func(in discovery.Instance) {
		t.Helper()
		v, err := base(t).Marshal(&in)
		ok(t, "Marshal", err)
		_, err = c.Put(within(t), base(t).Key(&in), string(v))
		ok(t, "Put", err)
	}
	earlier := registrar(t, c, discovery.WithTTL(5))
	_, err := earlier.Register(within(t), at("lives", "10.0.0.1:80"))
	ok(t, "Register", err)
	put(at("silent", "10.0.0.1:81"))
	backup := clienttest.Backup(t, cluster)
	ok(t, "Close", earlier.Close())
	_, err = registrar(t, c, discovery.WithTTL(5)).Register(within(t), at("lives", "10.0.0.2:80"))
	ok(t, "Register", err)
	put(at("silent", "10.0.0.2:81"))

	d := directory(t, c, discovery.WithReturnHold(10*time.Second))
	s := subscribe(t, d)
	awaitIDs(t, s, "lives", "silent")
	both := followEarlierRun(t, subscribe(t, d))
	clienttest.Restore(t, cluster, backup, nil)
	clienttest.Receive(t, "a view with both", both)
	direct := clienttest.Dial(t, cluster.Members()[0].Direct)
	key := base(t).Key(&discovery.Instance{Service: t.Name(), ID: "lives"})
	clienttest.Await(t, "the instance is registered again", func() bool {
		in, err := base(t).Unmarshal(t.Name(), key, []byte(value(t, direct, key)))
		return err == nil && in.Addresses[0] == "10.0.0.2:80"
	})
	clienttest.Await(t, "the view that etcd has", func() bool {
		v := s.View()
		silent := v.Get("silent")
		return v.Len() == 2 && !s.Status().Stale && silent != nil && silent.Addresses[0] == "10.0.0.1:81"
	})
}

// followEarlierRun checks that each change of a service has the living instance. The channel gets
// an element when a view has both runs of the silent one.
func followEarlierRun(t *testing.T, s *discovery.Subscription) <-chan bool {
	both := make(chan bool, 1)
	known := make(map[string]string) // what a program knows that follows the changes by id
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := s.Next(context.Background())
			if err != nil {
				return
			}
			for _, in := range slices.Concat(c.Added, c.Updated) {
				known[in.ID] = in.Addresses[0]
			}
			for _, in := range c.Removed {
				delete(known, in.ID)
			}
			addresses := make(map[string][]string)
			for in := range c.View.All() {
				addresses[in.ID] = append(addresses[in.ID], in.Addresses[0])
			}
			if !slices.Contains(addresses["lives"], "10.0.0.2:80") || known["lives"] != "10.0.0.2:80" {
				t.Errorf("a view has %v, the changes %v", addresses, known)
			}
			if len(addresses["silent"]) == 2 && c.Stale && known["silent"] == "10.0.0.2:81" {
				select {
				case both <- true:
				default:
				}
			}
		}
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return both
}
