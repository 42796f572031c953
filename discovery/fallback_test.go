package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// shown returns the cluster whose instances a view has, and their ids.
func shown(s *discovery.Subscription) string {
	v := s.View()
	if v == nil {
		return "nothing"
	}
	for in := range v.All() {
		if in.Cluster != v.Cluster() {
			return fmt.Sprintf("an instance of %q among those of %q", in.Cluster, v.Cluster())
		}
	}
	return fmt.Sprint(v.Cluster(), ids(v.Instances()))
}

func awaitShown(t testing.TB, s *discovery.Subscription, want string) {
	t.Helper()
	clienttest.Await(t, "the view is "+want, func() bool { return shown(s) == want })
}

// Two clusters: the second is used for a service as long as the first has no instance that takes
// work.
func TestFallback(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	own, east := clienttest.Dial(t, cluster.Endpoints()...), clienttest.Shared(t)
	d := directory(t, own, discovery.WithFallback("east", east), discovery.WithLog(nil))
	s := subscribe(t, d)
	far := registrar(t, east)
	register(t, far, orders(t, "e"))
	awaitShown(t, s, "east[e]")
	ch := next(t, s)
	for ch.View.Len() == 0 { // the first cluster may have answered before the second
		ch = next(t, s)
	}
	if !slices.Equal(ids(ch.Added), []string{"e"}) || ch.View.Cluster() != "east" || ch.Stale {
		t.Errorf("%+v", ch)
	}

	near := registrar(t, own)
	g := register(t, near, orders(t, "o"))
	if ch := next(t, s); !slices.Equal(ids(ch.Added), []string{"o"}) || !slices.Equal(ids(ch.Removed), []string{"e"}) ||
		ch.View.Cluster() != "" {
		t.Errorf("%+v", ch)
	}
	// The instance drains, and is up again.
	for range 3 {
		set(t, g, discovery.Draining)
		awaitShown(t, s, "east[e]")
		set(t, g, discovery.Up)
		awaitShown(t, s, "[o]")
	}
	// The instance goes. Later another one comes.
	if err := g.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	awaitShown(t, s, "east[e]")
	if st := s.Clusters(); len(st) != 2 || st[0].Cluster != "" || st[0].Used || st[0].Instances != 0 ||
		st[0].Status.Stale ||
		st[1].Cluster != "east" ||
		!st[1].Used ||
		st[1].Instances != 1 {
		t.Errorf("%+v", st)
	}
	// A process is killed, so its lease is no longer renewed.
	killed := orders(t, "k")
	value, err := base(t).Marshal(&killed)
	if err != nil {
		t.Fatal(err)
	}
	lease, err := own.Grant(within(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := own.Put(within(t), base(t).Key(&killed), string(value), clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	for now := next(t, s); now.View.Cluster() != "" || now.View.Len() != 1; now = next(t, s) {
	}
	awaitShown(t, s, "east[e]")
	register(t, near, orders(t, "o"))
	awaitShown(t, s, "[o]")

	// The first cluster's etcd is away. Its last known instances stay in use, whatever changes in
	// the second.
	for now := next(t, s); now.View.Cluster() != "" || now.View.Len() != 1; now = next(t, s) {
	}
	m := cluster.Members()[0]
	m.Kill()
	if ch := next(t, s); !ch.Stale || len(ch.Added)+len(ch.Updated)+len(ch.Removed) != 0 || ch.View.Cluster() != "" {
		t.Errorf("%+v", ch)
	}
	e2 := register(t, far, orders(t, "e2"))
	clienttest.Await(t, "the second is followed", func() bool { return s.Clusters()[1].Instances == 2 })
	if err := e2.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "the second is followed", func() bool { return s.Clusters()[1].Instances == 1 })
	if st := s.Clusters(); shown(s) != "[o]" || !st[0].Used || !st[0].Status.Stale || st[1].Status.Stale {
		t.Errorf("%s, %+v", shown(s), st)
	}
	// A new subscription does not wait for the first cluster.
	late := subscribe(t, directory(t, own, discovery.WithFallback("east", east), discovery.WithLog(nil)))
	if err := late.Ready(within(t)); err != nil {
		t.Fatal(err)
	}
	awaitShown(t, late, "east[e]")
	restart(t, m)
	awaitShown(t, late, "[o]")
	if ch := next(t, s); ch.Stale || len(ch.Added)+len(ch.Updated)+len(ch.Removed) != 0 {
		t.Errorf("back again: %+v", ch)
	}
}

func set(t testing.TB, g *discovery.Registration, state discovery.State) {
	t.Helper()
	if err := g.Update(within(t), func(in *discovery.Instance) { in.State = state }); err != nil {
		t.Fatal(err)
	}
}

// A drain waits until its callers have moved to another cluster's instances. It does not wait for
// callers that use another cluster already.
func TestFallbackDrains(t *testing.T) {
	own, east := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...), clienttest.Shared(t)
	s := subscribe(t, directory(t, own, discovery.WithFallback("east", east), discovery.WithAnnounce("me")))
	g, far := register(t, registrar(t, own), orders(t, "o")), register(t, registrar(t, east), orders(t, "e"))
	spare := register(t, registrar(t, east), orders(t, "spare"))
	for _, c := range []*clientv3.Client{own, east} {
		clienttest.Await(t, "the watcher is announced", func() bool {
			r, err := c.Get(
				within(t),
				"/fairlead/watchers/"+t.Name()+"/",
				clientv3.WithPrefix(),
				clientv3.WithCountOnly(),
			)
			return err == nil && r.Count == 1
		})
	}
	for ch := next(t, s); ch.View.Cluster() != "" || ch.View.Len() != 1; ch = next(t, s) {
	}
	clienttest.Await(t, "the second is known", func() bool { return s.Clusters()[1].Instances == 2 })
	got := make(chan discovery.Change, 1)
	ctx := within(t)
	go func() {
		ch, _ := s.Next(ctx)
		got <- ch
	}()
	if err := far.Drain(within(t), clienttest.Long); err != nil { // while the subscriber waits for news
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Error("it waited for its limit")
	}
	var over atomic.Bool
	drained := make(chan error, 1)
	go func() {
		err := g.Drain(ctx, clienttest.Long)
		over.Store(true)
		drained <- err
	}()
	ch := clienttest.Receive(t, "the change", got)
	if ch.View.Cluster() != "east" || !slices.Equal(ids(ch.Added), []string{"spare"}) ||
		!slices.Equal(ids(ch.Removed), []string{"o"}) {
		t.Errorf("%+v", ch)
	}
	short, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	<-short.Done()
	if over.Load() {
		t.Error("it has gone before it was seen")
	}
	go func() { // calling Next means that the last change has been handled
		ch, _ := s.Next(ctx)
		got <- ch
	}()
	if err := clienttest.Receive(t, "Drain", drained); err != nil {
		t.Error(err)
	}
	if err := spare.Close(within(t)); err != nil {
		t.Error(err)
	}
	clienttest.Receive(t, "the end", got)
}

// Each cluster has files of its own.
func TestFallbackFiles(t *testing.T) {
	dir := t.TempDir()
	cluster := etcdtest.Start(t, etcdtest.Options{})
	own, east := clienttest.Dial(t, cluster.Endpoints()...), clienttest.Shared(t)
	near := registrar(t, own)
	register(t, near, orders(t, "o"))
	register(t, registrar(t, east), orders(t, "e"))
	first := directory(t, own, discovery.WithFallback("east", east), discovery.WithFiles(dir))
	s := subscribe(t, first)
	awaitShown(t, s, "[o]")
	clienttest.Await(t, "the second is known", func() bool { return s.Clusters()[1].Instances == 1 })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	cluster.Members()[0].Kill()
	again := subscribe(t,
		directory(t, own, discovery.WithFallback("east", east), discovery.WithFiles(dir), discovery.WithLog(nil)))
	if err := again.Ready(within(t)); err != nil {
		t.Fatal(err)
	}
	if ch := next(t, again); ch.View.Cluster() != "" || ch.View.Len() != 1 || !ch.Stale {
		t.Errorf("%s: %+v", ch.View.Cluster(), ch)
	}
	restart(t, cluster.Members()[0]) // the registrar ends at once
}

func TestFallbackNonsense(t *testing.T) {
	c, other := clienttest.Shared(t), clienttest.Shared(t)
	for what, opts := range map[string][]discovery.DirectoryOption{
		"nil":         {discovery.WithFallback("east", nil)},
		"its own":     {discovery.WithFallback("east", c)},
		"twice":       {discovery.WithFallback("east", other), discovery.WithFallback("west", other)},
		"one name":    {discovery.WithFallback("east", other), discovery.WithFallback("east", clienttest.Shared(t))},
		"no name":     {discovery.WithFallback("", other)},
		"a bad name":  {discovery.WithFallback("the east", other)},
		"a nil first": {nil, discovery.WithFallback("east", other)},
	} {
		d := discovery.NewDirectory(c, append(opts, discovery.WithAnnounce("me"))...)
		if _, err := d.Subscribe("x"); !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
