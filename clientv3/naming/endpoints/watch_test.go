package endpoints_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/clienttest"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming/endpoints"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestWatch(t *testing.T) {
	c := clienttest.Shared(t)
	m, ctx := manager(t, c), within(t)
	key := func(s string) string { return t.Name() + "/" + s }
	add := func(k string, e endpoints.Endpoint) {
		t.Helper()
		clienttest.OK(t, "AddEndpoint", m.AddEndpoint(ctx, key(k), e))
	}
	none := watch(t, ctx, m)
	add("b", endpoints.Endpoint{Addr: "b:1"})
	none.says("+b b:1 <nil>") // the first delivery
	add("a", endpoints.Endpoint{Addr: "a:1", Metadata: "x"})
	none.says("+a a:1 x")
	wctx, cancel := context.WithCancel(ctx)
	v := watch(t, wctx, m)
	v.says("+a a:1 x", "+b b:1 <nil>")
	add("a", endpoints.Endpoint{Addr: "a:2"})
	v.says("+a a:2 <nil>")
	add("a", endpoints.Endpoint{Addr: "a:2"}) // the same again is reported, too
	v.says("+a a:2 <nil>")
	lease, err := c.Grant(ctx, 600)
	clienttest.OK(t, "Grant", err)
	clienttest.OK(
		t,
		"AddEndpoint",
		m.AddEndpoint(ctx, key("leased"), endpoints.Endpoint{Addr: "l:1"}, clientv3.WithLease(lease.ID)),
	)
	v.says("+leased l:1 <nil>")
	_, err = c.Revoke(ctx, lease.ID)
	clienttest.OK(t, "Revoke", err)
	v.says("-leased")
	cancel()
	v.closes()
	_, err = c.Delete(ctx, key(""), clientv3.WithPrefix())
	clienttest.OK(t, "Delete", err)
	none.reach(map[string]string{})
}

// TestWatchEnds: the channel is closed when the client is, even if nobody reads.
func TestWatchEnds(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := dial(t, zap.NewNop(), etcdtest.Shared(t).Endpoints()...)
	m, ctx := manager(t, c), within(t)
	cancelled, cancel := context.WithCancel(ctx)
	v, unread, unreadToo := watch(t, context.Background(), m), watch(t, context.Background(), m), watch(t, cancelled, m)
	add := func(k string) {
		t.Helper()
		clienttest.OK(t, "AddEndpoint", m.AddEndpoint(ctx, t.Name()+"/"+k, endpoints.Endpoint{Addr: "a:1"}))
	}
	add("first")
	for _, v := range []*view{v, unread, unreadToo} {
		v.says("+first a:1 <nil>")
	}
	for i := range 20 {
		add(fmt.Sprint(i))
	}
	for len(v.known) < 21 {
		v.step()
	}
	cancel()
	unreadToo.closes()
	c.Close()
	v.closes()
	unread.closes()
	if _, err := m.NewWatchChannel(ctx); !clientv3.IsConnCanceled(err) {
		t.Errorf("NewWatchChannel of a closed client: %v", err)
	}
}

// TestBadRecordsAreLoggedOnceAndLeftOut: a value that is not an endpoint is logged once and left
// out.
func TestBadRecordsAreLoggedOnceAndLeftOut(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	c := dial(t, zap.New(core), etcdtest.Shared(t).Endpoints()...)
	m, ctx := manager(t, c), within(t)
	put := func(k, value string) {
		t.Helper()
		_, err := c.Put(ctx, t.Name()+"/"+k, value)
		clienttest.OK(t, "Put", err)
	}
	good := func(addr string) string { return `{"Op":0,"Addr":"` + addr + `","Metadata":null}` }
	put("a", good("a:1"))
	for i, bad := range []string{
		"{junk", "", "null", "[]", "http://1.2.3.4", "{}", `{"id":"1","name":"other"}`, `{"Addr":5}`, "\x00",
	} {
		put(fmt.Sprint("bad", i), bad)
	}
	put("z", `{"Op":1,"Addr":"z:1","unknown":{}}`)
	list, err := m.List(ctx)
	if err != nil || len(list) != 2 {
		t.Errorf("List: %v, %v", list, err)
	}
	v := watch(t, ctx, m)
	v.says("+a a:1 <nil>", "+z z:1 <nil>")
	lines := logs.FilterMessageSnippet("no endpoint").TakeAll()
	if len(lines) != 2 || !strings.Contains(fmt.Sprint(lines[0].ContextMap()), t.Name()+"/bad0") ||
		lines[0].ContextMap()["keys"] != int64(9) {
		t.Errorf("logged %v", lines)
	}
	put("bad0", good("b:1"))
	v.says("+bad0 b:1 <nil>")
	put("bad1", "junk still")
	put("bad0", "junk again")
	v.says("-bad0") // nothing of bad1
	_, err = c.Delete(ctx, t.Name()+"/bad", clientv3.WithPrefix())
	clienttest.OK(t, "Delete", err)
	clienttest.OK(t, "DeleteEndpoint", m.DeleteEndpoint(ctx, t.Name()+"/a"))
	v.says("-a")
}

// TestCompactedWhileAway: after an outage in which all endpoints were changed and compacted, the
// consumer has the present ones within a second.
func TestCompactedWhileAway(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	there := dial(t, zap.NewNop(), cluster.Members()[0].Direct)
	c := dial(t, zap.NewNop(), cluster.Endpoints()...)
	m, ctx := manager(t, there), clienttest.Within(t, 2*clienttest.Long)
	add := func(k, addr string) {
		t.Helper()
		clienttest.OK(t, "AddEndpoint", m.AddEndpoint(ctx, t.Name()+"/"+k, endpoints.Endpoint{Addr: addr}))
	}
	add("stays", "stays:1")
	add("goes", "goes:1")
	add("moves", "moves:1")
	_, err := there.Put(ctx, t.Name()+"/junk", "junk")
	clienttest.OK(t, "Put", err)
	away, err := endpoints.NewManager(c, t.Name())
	clienttest.OK(t, "NewManager", err)
	v := watch(t, ctx, away)
	v.says("+goes goes:1 <nil>", "+moves moves:1 <nil>", "+stays stays:1 <nil>")
	proxy := cluster.Members()[0].Proxy()
	for round := range 3 {
		proxy.Cut()
		if round == 0 {
			clienttest.OK(t, "DeleteEndpoint", m.DeleteEndpoint(ctx, t.Name()+"/goes"))
			add("moves", "moves:2")
			add("comes", "comes:1")
		}
		add("round", fmt.Sprint(round))
		add("passes", "by")
		clienttest.OK(t, "DeleteEndpoint", m.DeleteEndpoint(ctx, t.Name()+"/passes"))
		r, err := there.Get(ctx, "x")
		clienttest.OK(t, "Get", err)
		_, err = there.Compact(ctx, r.Header.Revision)
		clienttest.OK(t, "Compact", err)
		clienttest.OK(t, "Heal", proxy.Heal())
		begin := time.Now()
		if round == 0 {
			v.says("+comes comes:1 <nil>", "-goes", "+moves moves:2 <nil>", "+round 0 <nil>")
		} else {
			v.says(fmt.Sprintf("+round %d <nil>", round))
		}
		t.Logf("right %v after the network was back", time.Since(begin))
	}
}

// TestSlowConsumerGetsTheLastState: a consumer that does not read for long gets the last state,
// although the history was compacted meanwhile, and the client holds little for it.
func TestSlowConsumerGetsTheLastState(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	c, err := clientv3.New(
		clientv3.Config{Endpoints: cluster.Endpoints(), Logger: zap.NewNop(), WatchBufferLimit: 64 << 10},
	)
	clienttest.OK(t, "New", err)
	t.Cleanup(func() { c.Close() })
	m, ctx := manager(t, c), clienttest.Within(t, 2*clienttest.Long)
	v := watch(t, ctx, m)
	padding := strings.Repeat("x", 10_000)
	want := make(map[string]string)
	for i := range 200 {
		k := fmt.Sprint(i % 10)
		want[k] = fmt.Sprint(i)
		padded := endpoints.Endpoint{Addr: want[k], Metadata: padding}
		clienttest.OK(t, "AddEndpoint", m.AddEndpoint(ctx, t.Name()+"/"+k, padded))
	}
	clienttest.OK(t, "DeleteEndpoint", m.DeleteEndpoint(ctx, t.Name()+"/3"))
	delete(want, "3")
	r, err := c.Get(ctx, "x")
	clienttest.OK(t, "Get", err)
	_, err = c.Compact(ctx, r.Header.Revision)
	clienttest.OK(t, "Compact", err)
	v.reach(want)
	t.Logf("201 changes in %d deliveries", v.n)
}

// TestThousand endpoints of one target.
func TestThousand(t *testing.T) {
	c := clienttest.Shared(t)
	m, ctx := manager(t, c), clienttest.Within(t, 2*clienttest.Long)
	v := watch(t, ctx, m)
	want := make(map[string]string)
	for i := 0; i < 1000; i += 100 {
		var updates []*endpoints.UpdateWithOpts
		for j := range 100 {
			k := fmt.Sprintf("%04d", i+j)
			want[k] = k + ":1"
			updates = append(updates, endpoints.NewAddUpdateOpts(t.Name()+"/"+k, endpoints.Endpoint{Addr: want[k]}))
		}
		clienttest.OK(t, "Update", m.Update(ctx, updates))
	}
	v.reach(want)
	late := watch(t, ctx, m)
	if first := late.step(); len(first) != 1000 || !slices.IsSorted(first) {
		t.Errorf("the first delivery has %d endpoints", len(first))
	}
}
