package naming_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/clienttest"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming"
	"github.com/fairlead-go/fairlead/clientv3/naming/endpoints"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// updater makes updates of the test's service.
func updater(t *testing.T, c *clientv3.Client) func(naming.Update, ...clientv3.OpOption) {
	r := &naming.GRPCResolver{Client: c}
	return func(u naming.Update, opts ...clientv3.OpOption) {
		t.Helper()
		clienttest.OK(t, "Update", r.Update(within(t), t.Name(), u, opts...))
	}
}

func TestUpdateAndNext(t *testing.T) {
	c := clienttest.Shared(t)
	update := updater(t, c)
	update(naming.Update{Op: naming.Add, Addr: "b:1"})
	r, err := c.Get(within(t), t.Name()+"/b:1")
	if err != nil || len(r.Kvs) != 1 || string(r.Kvs[0].Value) != `{"Op":0,"Addr":"b:1","Metadata":null}` {
		t.Errorf("stored %v, %v", r, err)
	}
	update(naming.Update{Op: naming.Add, Addr: "a:1", Metadata: map[string]any{"w": 1}})
	w := resolve(t, c)
	w.says("+a:1 map[w:1]", "+b:1 <nil>")
	update(naming.Update{Op: naming.Delete, Addr: "b:1"})
	w.says("-b:1 <nil>")
	update(naming.Update{Op: naming.Delete, Addr: "b:1"}) // it does not exist: nothing happens
	update(naming.Update{Op: naming.Add, Addr: "a:1", Metadata: "new"})
	w.says("+a:1 new")
	update(naming.Update{Op: naming.Add, Addr: "a:1", Metadata: "new"}) // changes nothing
	update(naming.Update{Op: naming.Add, Metadata: "alone"})
	w.says("+ alone")
	lease, err := c.Grant(within(t), 600)
	clienttest.OK(t, "Grant", err)
	update(naming.Update{Op: naming.Add, Addr: "leased:1"}, clientv3.WithLease(lease.ID))
	w.says("+leased:1 <nil>")
	_, err = c.Revoke(within(t), lease.ID)
	clienttest.OK(t, "Revoke", err)
	w.says("-leased:1 <nil>")
	update(naming.Update{Op: naming.Delete, Metadata: "whatever"})
	w.says("- alone")
}

// TestFirstNextReturnsAtOnceWithoutAddresses: without addresses the first Next returns at once,
// with none; the second waits.
func TestFirstNextReturnsAtOnceWithoutAddresses(t *testing.T) {
	c := clienttest.Shared(t)
	w := resolve(t, c)
	if u, err := w.next(); err != nil || u == nil || len(u) != 0 {
		t.Errorf("Next: %v, %v", u, err)
	}
	second := w.async()
	updater(t, c)(naming.Update{Addr: "a:1"})
	if r := <-second; r.err != nil || len(r.updates) != 1 || r.updates[0].Addr != "a:1" {
		t.Errorf("Next: %v, %v", r.updates, r.err)
	}
}

// TestKeysOfOthers: keys of package endpoints need not end in the address.
func TestKeysOfOthers(t *testing.T) {
	c, ctx := clienttest.Shared(t), within(t)
	em, err := endpoints.NewManager(c, t.Name())
	clienttest.OK(t, "NewManager", err)
	add := func(k, addr string, metadata any) *endpoints.UpdateWithOpts {
		return endpoints.NewAddUpdateOpts(t.Name()+"/"+k, endpoints.Endpoint{Addr: addr, Metadata: metadata})
	}
	update := func(u ...*endpoints.UpdateWithOpts) {
		t.Helper()
		clienttest.OK(t, "Update", em.Update(ctx, u))
	}
	remove := func(k string) *endpoints.UpdateWithOpts { return endpoints.NewDeleteUpdateOpts(t.Name() + "/" + k) }
	update(add("1", "a:1", nil), add("2", "a:1", "second"), add("3", "", "no address"), add("4", "", "none either"))
	_, err = c.Put(ctx, t.Name()+"/junk", "{junk")
	clienttest.OK(t, "Put", err)
	w := resolve(t, c)
	w.says("+a:1 <nil>", "+ no address", "+ none either")
	update(remove("1")) // the address remains, by the other key
	w.says("+a:1 second")
	update(add("2", "b:1", nil)) // another address in its place
	w.says("-a:1 second", "+b:1 <nil>")
	update(add("5", "b:1", nil), add("3", "c:1", nil), remove("4"))
	w.says("- no address", "+c:1 <nil>", "- none either")
	_, err = c.Put(ctx, t.Name()+"/3", "{junk")
	clienttest.OK(t, "Put", err)
	w.says("-c:1 <nil>")
	update(remove("2"), remove("3"))
	update(remove("5"))
	w.says("-b:1 <nil>")
}

func TestMistakes(t *testing.T) {
	c := clienttest.Shared(t)
	good := &naming.GRPCResolver{Client: c}
	addr := naming.Update{Addr: "a:1"}
	update := func(r *naming.GRPCResolver, target string, u naming.Update) error {
		return r.Update(within(t), target, u)
	}
	resolve := func(r *naming.GRPCResolver, target string) error {
		_, err := r.Resolve(target)
		return err
	}
	for says, errs := range map[string][]error{
		"no etcd client": {
			update(&naming.GRPCResolver{}, "a", addr), resolve(nil, "a"), resolve(&naming.GRPCResolver{}, "a"),
		},
		"target is empty": {update(good, "", addr), resolve(good, "")},
		"needs an address or metadata": {
			update(good, "a", naming.Update{}), update(good, "a", naming.Update{Op: naming.Delete}),
		},
		"no operation 2":         {update(good, "a", naming.Update{Op: 2, Addr: "a:1"})},
		"unsupported type: func": {update(good, "a", naming.Update{Addr: "a:1", Metadata: func() {}})},
	} {
		for _, err := range errs {
			if clientv3.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), says) {
				t.Errorf("want %q, got %v", says, err)
			}
		}
	}
}

// TestCloseEndsEveryNext: Close ends every Next, even of a Watcher that was never used.
func TestCloseEndsEveryNext(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	unused := resolve(t, c)
	unused.Close()
	if _, err := unused.next(); err != naming.ErrWatcherClosed {
		t.Errorf("Next after Close: %v", err)
	}
	w := resolve(t, c)
	w.says()
	var waiting []<-chan result
	for range 5 {
		waiting = append(waiting, w.async())
	}
	var closing sync.WaitGroup
	for range 3 {
		closing.Go(w.Close)
	}
	closing.Wait()
	for _, c := range waiting {
		if r := <-c; r.err != naming.ErrWatcherClosed {
			t.Errorf("Next: %v, %v", r.updates, r.err)
		}
	}
	// A closed client ends Next with another error.
	w = resolve(t, c)
	w.says()
	updater(t, c)(naming.Update{Addr: "a:1"})
	w.says("+a:1 <nil>") // now it certainly watches
	last := w.async()
	c.Close()
	if r := <-last; !errors.Is(r.err, clientv3.ErrClosed) {
		t.Errorf("Next of a closed client: %v, %v", r.updates, r.err)
	}
	if _, err := w.next(); !errors.Is(err, clientv3.ErrClosed) {
		t.Errorf("Next of a closed client: %v", err)
	}
	w.Close()
	if _, err := w.next(); err != naming.ErrWatcherClosed {
		t.Errorf("Next after both were closed: %v", err)
	}
}

func TestConcurrentNextReturnsEachUpdateOnce(t *testing.T) {
	c := clienttest.Shared(t)
	w := resolve(t, c)
	w.says()
	const n = 50
	got := make(chan string, n)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				updates, err := w.Next()
				if err != nil {
					return
				}
				for _, u := range updates {
					got <- u.Addr
				}
			}
		})
	}
	for i := range n {
		updater(t, c)(naming.Update{Addr: fmt.Sprint(i)})
	}
	seen := make(map[string]bool)
	for range n {
		addr := <-got
		if seen[addr] {
			t.Errorf("%s twice", addr)
		}
		seen[addr] = true
	}
	w.Close()
	readers.Wait()
}

// TestNextWaitsWhileEtcdIsAway: Next waits while etcd cannot be reached, before the first answer
// and later, and a compaction meanwhile does no harm.
func TestNextWaitsWhileEtcdIsAway(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	proxy := cluster.Members()[0].Proxy()
	there := clienttest.Dial(t, cluster.Members()[0].Direct)
	update := updater(t, there)
	update(naming.Update{Addr: "a:1"})
	update(naming.Update{Addr: "b:1"})
	proxy.Cut()
	c, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(), Logger: there.GetLogger(), FailFast: true})
	clienttest.OK(t, "New", err)
	t.Cleanup(func() { c.Close() })
	w := resolve(t, c)
	first := w.async()
	if _, err := c.Get(within(t), "x"); clientv3.Code(err) != codes.Unavailable {
		t.Fatalf("etcd is not away: %v", err)
	}
	clienttest.OK(t, "Heal", proxy.Heal())
	if r := <-first; r.err != nil || fmt.Sprint(words(r.updates)) != "[+a:1 <nil> +b:1 <nil>]" {
		t.Errorf("Next: %v, %v", words(r.updates), r.err)
	}
	proxy.Cut()
	next := w.async()
	update(naming.Update{Op: naming.Delete, Addr: "a:1"})
	update(naming.Update{Addr: "passes:1"})
	update(naming.Update{Op: naming.Delete, Addr: "passes:1"})
	update(naming.Update{Addr: "c:1"})
	r, err := there.Get(within(t), "x")
	clienttest.OK(t, "Get", err)
	_, err = there.Compact(within(t), r.Header.Revision)
	clienttest.OK(t, "Compact", err)
	clienttest.OK(t, "Heal", proxy.Heal())
	begin := time.Now()
	if r := <-next; r.err != nil || fmt.Sprint(words(r.updates)) != "[-a:1 <nil> +c:1 <nil>]" {
		t.Errorf("Next: %v, %v", words(r.updates), r.err)
	}
	t.Logf("right %v after the network was back", time.Since(begin))
}
