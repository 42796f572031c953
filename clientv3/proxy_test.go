package clientv3_test

// These tests use the client through etcd's gRPC proxy, which is not transparent: it merges the
// watches of its clients, numbers them itself, forwards no progress requests, answers for the
// cluster's members and does not know newer calls.

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// throughProxy returns a client of a gRPC proxy in front of one member, the network
// between the two, and a client of the member itself.
func throughProxy(t *testing.T) (c *clientv3.Client, net *faultnet.Proxy, direct *clientv3.Client) {
	t.Helper()
	cl := etcdtest.Start(t, etcdtest.Options{})
	net, err := faultnet.New(etcdtest.Proxy(t, cl))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { net.Close() })
	return dial(
			t,
			clientv3.Config{Endpoints: []string{net.Addr()}},
		), net, dial(
			t,
			clientv3.Config{Endpoints: cl.Endpoints()},
		)
}

// events reads n events of a watch.
func events(t *testing.T, name string, ch clientv3.WatchChan, n int) (got []string) {
	t.Helper()
	rev := int64(0)
	for len(got) < n {
		r := next(t, ch)
		if r.Err() != nil {
			t.Fatalf("%s: %v after %q", name, r.Err(), got)
		}
		for _, e := range r.Events {
			if e.Kv.ModRevision <= rev {
				t.Errorf("%s: revision %d after %d", name, e.Kv.ModRevision, rev)
			}
			rev = e.Kv.ModRevision
			got = append(got, describe(e))
		}
	}
	return got
}

func wantEvents(t *testing.T, name string, ch clientv3.WatchChan, want ...string) {
	t.Helper()
	if got := events(t, name, ch, len(want)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %q, want %q", name, got, want)
	}
}

func TestProxyKV(t *testing.T) {
	t.Parallel()
	c, _, _ := throughProxy(t)
	ctx := ctxFor(t, long)
	for i := range 5 {
		if r, err := c.Put(ctx, fmt.Sprint("k", i), fmt.Sprint("v", i)); err != nil || r.Header.Revision == 0 {
			t.Fatalf("put: %v, %v", r, err)
		}
	}
	if r, err := c.Get(ctx, "k3"); err != nil || len(r.Kvs) != 1 || string(r.Kvs[0].Value) != "v3" {
		t.Errorf("get: %v, %v", r, err)
	}
	// Twice: the proxy answers serializable reads from its memory.
	for range 2 {
		if r, err := c.Get(ctx, "k3", clientv3.WithSerializable()); err != nil || len(r.Kvs) != 1 ||
			string(r.Kvs[0].Value) != "v3" {
			t.Errorf("serializable get: %v, %v", r, err)
		}
	}
	r, err := c.Get(
		ctx,
		"k",
		clientv3.WithPrefix(),
		clientv3.WithLimit(3),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend),
	)
	if err != nil || len(r.Kvs) != 3 || r.Count != 5 || !r.More || string(r.Kvs[0].Key) != "k4" {
		t.Errorf("range: %v, %v", r, err)
	}
	txn := func() *clientv3.TxnResponse {
		t.Helper()
		r, err := c.Txn(ctx).If(clientv3.Compare(clientv3.Value("k0"), "=", "v0")).
			Then(clientv3.OpPut("k0", "new"), clientv3.OpGet("k0")).Else(clientv3.OpGet("k0")).Commit()
		if err != nil {
			t.Fatalf("txn: %v", err)
		}
		return r
	}
	if r := txn(); !r.Succeeded || string(r.Responses[1].GetResponseRange().Kvs[0].Value) != "new" {
		t.Errorf("txn: %v", r)
	}
	if r := txn(); r.Succeeded {
		t.Errorf("txn, again: %v", r)
	}
	if r, err := c.Delete(ctx, "k0", clientv3.WithPrevKV()); err != nil || r.Deleted != 1 || len(r.PrevKvs) != 1 ||
		string(r.PrevKvs[0].Value) != "new" {
		t.Errorf("delete: %v, %v", r, err)
	}
	if r, err := c.Get(ctx, "k0"); err != nil || len(r.Kvs) != 0 {
		t.Errorf("get of a deleted key: %v, %v", r, err)
	}
	if _, err := c.Put(ctx, "", "v"); err != rpctypes.ErrEmptyKey {
		t.Errorf("empty key: %v", err)
	}
	// More keys than fit on a page, whether the proxy streams or not.
	const n = 2500
	for from := 0; from < n; from += 100 {
		var puts []clientv3.Op
		for i := range 100 {
			puts = append(puts, clientv3.OpPut(fmt.Sprintf("many/%04d", from+i), "v"))
		}
		if _, err := c.Txn(ctx).Then(puts...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	i := 0
	for kv, err := range c.Range(ctx, "many/") {
		if err != nil {
			t.Fatal(err)
		}
		if string(kv.Key) != fmt.Sprintf("many/%04d", i) {
			t.Fatalf("key %d is %s", i, kv.Key)
		}
		i++
	}
	if i != n {
		t.Errorf("%d of %d keys", i, n)
	}
}

func TestProxyWatch(t *testing.T) {
	t.Parallel()
	c, net, direct := throughProxy(t)
	ctx := ctxFor(t, 2*long)
	put := func(k, v string) int64 {
		t.Helper()
		r, err := direct.Put(ctx, k, v)
		if err != nil {
			t.Fatal(err)
		}
		return r.Header.Revision
	}
	first := put("w/old", "0")
	one := c.Watch(ctx, "w/a")
	same := c.Watch(ctx, "w/a") // the proxy merges it with the one before
	previous := c.Watch(ctx, "w/a", clientv3.WithPrevKV())
	all := c.Watch(ctx, "w/", clientv3.WithPrefix())
	deletes := c.Watch(ctx, "w/", clientv3.WithPrefix(), clientv3.WithFilterPut())
	old := c.Watch(ctx, "w/", clientv3.WithPrefix(), clientv3.WithRev(first))
	cancelling, cancel := context.WithCancel(ctx)
	cancelled := c.Watch(cancelling, "w/a")

	put("w/a", "1")
	wantEvents(t, "cancelled", cancelled, "PUT w/a=1")
	cancel()
	closed(t, cancelled)
	put("w/a", "2")
	put("w/b", "1")

	// The proxy forwards no progress request. It must not stop anything.
	if err := c.RequestProgress(ctx); err != nil {
		t.Errorf("asking for progress: %v", err)
	}
	wantEvents(t, "one key", one, "PUT w/a=1", "PUT w/a=2")
	wantEvents(t, "same key", same, "PUT w/a=1", "PUT w/a=2")
	wantEvents(t, "previous", previous, "PUT w/a=1", "PUT w/a=2 was 1")
	wantEvents(t, "prefix", all, "PUT w/a=1", "PUT w/a=2", "PUT w/b=1")
	wantEvents(t, "from a revision", old, "PUT w/old=0", "PUT w/a=1", "PUT w/a=2", "PUT w/b=1")

	// What happens while the way to the proxy is cut arrives afterwards.
	net.Cut()
	put("w/a", "3")
	if _, err := direct.Delete(ctx, "w/b"); err != nil {
		t.Fatal(err)
	}
	if err := net.Heal(); err != nil {
		t.Fatal(err)
	}
	late := c.Watch(ctx, "w/a", clientv3.WithCreatedNotify())
	if r := next(t, late); !r.Created {
		t.Errorf("late: %+v, %v", r, r.Err())
	}
	put("w/a", "4")
	wantEvents(t, "one key, resumed", one, "PUT w/a=3", "PUT w/a=4")
	wantEvents(t, "same key, resumed", same, "PUT w/a=3", "PUT w/a=4")
	wantEvents(t, "previous, resumed", previous, "PUT w/a=3 was 2", "PUT w/a=4 was 3")
	wantEvents(t, "prefix, resumed", all, "PUT w/a=3", "DELETE w/b=", "PUT w/a=4")
	wantEvents(t, "from a revision, resumed", old, "PUT w/a=3", "DELETE w/b=", "PUT w/a=4")
	wantEvents(t, "deletes", deletes, "DELETE w/b=")
	wantEvents(t, "late", late, "PUT w/a=4")
}

func TestProxyWatchCompacted(t *testing.T) {
	t.Parallel()
	c, net, direct := throughProxy(t)
	ctx := ctxFor(t, 2*long)
	put := func(v string) int64 {
		t.Helper()
		r, err := direct.Put(ctx, "k", v)
		if err != nil {
			t.Fatal(err)
		}
		return r.Header.Revision
	}
	put("1")
	put("2")
	rev := put("3")
	open := c.Watch(ctx, "k")
	if _, err := c.Compact(ctx, rev); err != nil {
		t.Fatal(err)
	}
	ch := c.Watch(ctx, "k", clientv3.WithRev(2))
	if r := next(t, ch); !r.Canceled || r.CompactRevision != rev || r.Err() != rpctypes.ErrCompacted {
		t.Errorf("from a compacted revision: %+v, %v", r, r.Err())
	}
	closed(t, ch)
	put("4")
	wantEvents(t, "open during the compaction", open, "PUT k=4")

	// Compacted while the watch was away.
	net.Cut()
	put("5")
	rev = put("6")
	if _, err := direct.Compact(ctx, rev); err != nil {
		t.Fatal(err)
	}
	if err := net.Heal(); err != nil {
		t.Fatal(err)
	}
	if r := next(t, open); !r.Canceled || r.CompactRevision != rev || r.Err() != rpctypes.ErrCompacted {
		t.Errorf("compacted meanwhile: %+v, %v", r, r.Err())
	}
	closed(t, open)
}

func TestProxyLease(t *testing.T) {
	t.Parallel()
	c, net, direct := throughProxy(t)
	ctx := ctxFor(t, 2*long)
	// The proxy renews a lease that it knows once in a third of the TTL, and only then answers the
	// renewals of its clients. So the test is quicker with a short TTL, but the cut below must not
	// cost the lease on a slow machine.
	const ttl = 10
	g, err := c.Grant(ctx, ttl)
	if err != nil || g.TTL != ttl {
		t.Fatalf("%+v, %v", g, err)
	}
	if _, err := c.Put(ctx, "leased", "v", clientv3.WithLease(g.ID)); err != nil {
		t.Fatal(err)
	}
	kept, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	renewed := func() {
		t.Helper()
		if r, ok := <-kept; !ok || r.ID != g.ID || r.TTL != ttl {
			t.Fatalf("renewal: %+v, %v", r, ok)
		}
	}
	renewed()
	net.Cut()
	if err := net.Heal(); err != nil {
		t.Fatal(err)
	}
	renewed()
	if r, err := c.KeepAliveOnce(ctx, g.ID); err != nil || r.TTL != ttl {
		t.Errorf("renewed once: %+v, %v", r, err)
	}
	if r, err := c.TimeToLive(ctx, g.ID, clientv3.WithAttachedKeys()); err != nil || r.TTL <= 0 || len(r.Keys) != 1 {
		t.Errorf("time to live: %+v, %v", r, err)
	}
	if _, err := c.Revoke(ctx, g.ID); err != nil {
		t.Fatal(err)
	}
	ends(t, kept)
	if r, err := direct.Get(ctx, "leased"); err != nil || len(r.Kvs) != 0 {
		t.Errorf("the key outlived its lease: %v, %v", r, err)
	}
	if _, err := c.KeepAliveOnce(ctx, g.ID); err != rpctypes.ErrLeaseNotFound {
		t.Errorf("renewing a lease that is gone: %v", err)
	}
}

func TestProxyClusterAndMaintenance(t *testing.T) {
	t.Parallel()
	c, _, _ := throughProxy(t)
	ctx := ctxFor(t, long)
	// The proxy lists only itself, so that clients use it.
	if r, err := c.MemberList(ctx); err != nil || len(r.Members) != 1 || len(r.Members[0].ClientURLs) != 1 {
		t.Errorf("members: %v, %v", r, err)
	}
	if r, err := c.Status(ctx, c.Endpoints()[0]); err != nil || r.Version == "" || r.Leader == 0 {
		t.Errorf("status: %v, %v", r, err)
	}
	if r, err := c.AlarmList(ctx); err != nil || len(r.Alarms) != 0 {
		t.Errorf("alarms: %v, %v", r, err)
	}
	if r, err := c.UserList(ctx); err != nil || len(r.Users) != 0 {
		t.Errorf("users: %v, %v", r, err)
	}
	if err := c.Sync(ctx); err != nil {
		t.Errorf("sync: %v", err)
	}
	if _, err := c.Put(ctx, "after", "sync"); err != nil {
		t.Errorf("after Sync, at %v: %v", c.Endpoints(), err)
	}
}

// The gRPC proxy keeps a client's stream while the servers behind it are replaced: it opens its own
// streams again and says nothing. The client recognizes the new history by its lower term, and
// takes no event of it for one of the old history.
func TestProxyKeepsStreamOverAWipe(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	m := cl.Members()[0]
	for range 3 { // each start is a term
		m.Kill()
		if err := m.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cl.WaitHealthy(ctxFor(t, long)); err != nil {
		t.Fatal(err)
	}
	c := dial(t, clientv3.Config{Endpoints: []string{etcdtest.Proxy(t, cl)}})
	put(t, c, "k/1", "of old")
	plain := listed(t, c, c, "k/", clientv3.WithPrefix())
	w := clientv3.NewResumingWatcher(c, c)
	defer w.Close()
	resuming := w.Watch(t.Context(), "k/", clientv3.WithPrefix())
	have := picture{"k/1": "of old"}
	put(t, c, "k/2", "of old")
	next(t, plain)
	have.apply(next(t, resuming))
	clienttest.Overtake(t, cl, map[string]string{"k/1": "anew"})
	direct := dial(t, clientv3.Config{Endpoints: []string{m.Direct}})
	// At some time the proxy is connected to the new server. Events from then on are of the new
	// history.
	stop := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				direct.Put(t.Context(), "k/3", fmt.Sprint("anew", n))
			}
		}
	}()
	defer close(stop)
	for r := range plain {
		if r.Err() != nil {
			if !errors.Is(r.Err(), clientv3.ErrHistoryLost) {
				t.Error(r.Err())
			}
			break
		}
		if len(r.Events) > 0 {
			t.Fatalf("events of another history: %v", r.Events)
		}
	}
	for have["k/1"] != "anew" || have["k/2"] != "" {
		r := next(t, resuming)
		if r.Err() != nil {
			t.Fatalf("the resuming watch: %v, the consumer has %v", r.Err(), have)
		}
		have.apply(r)
	}
}
