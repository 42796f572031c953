package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A draining instance goes when the announced watchers have seen the drain, and not before.
func TestDrain(t *testing.T) {
	c := clienttest.Shared(t)
	announced := func() int64 {
		r, err := c.Get(within(t), "/fairlead/watchers/"+t.Name()+"/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		return r.Count
	}
	dir := directory(t, c, discovery.WithAnnounce("one"))
	s := subscribe(t, dir)
	slow := subscribe(t, dir)
	g := register(t, registrar(t, c), orders(t, "a"))
	clienttest.Await(t, "the watcher is announced", func() bool { return announced() == 1 })
	for len(next(t, s).Added) == 0 {
	}
	for len(next(t, slow).Added) == 0 {
	}
	drained := make(chan error, 1)
	go func() { drained <- g.Drain(within(t), clienttest.Long) }()
	for _, sub := range []*discovery.Subscription{s, slow} {
		if ch := next(t, sub); len(ch.Updated) != 1 || !ch.Updated[0].IsDraining() {
			t.Fatalf("%+v", ch)
		}
	}
	// Both have been notified. One has finished with the change, the other has not.
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if ch, err := s.Next(ctx); err != context.DeadlineExceeded {
		t.Fatalf("it has gone before all have seen it: %+v, %v", ch, err)
	}
	if ch := next(t, slow); len(ch.Removed) != 1 {
		t.Errorf("%+v", ch)
	}
	if err := clienttest.Receive(t, "Drain", drained); err != nil {
		t.Error(err)
	}
	if err := dir.Close(); err != nil {
		t.Error(err)
	}
	if n := announced(); n != 0 {
		t.Errorf("%d watchers are left", n)
	}
}

// A drain waits no longer than its limit; a context that ends leaves the instance draining.
func TestDrainLimit(t *testing.T) {
	c := clienttest.Shared(t)
	s := subscribe(t, directory(t, c, discovery.WithAnnounce("never-looks")))
	r := registrar(t, c)
	clienttest.Await(t, "the watcher is announced", func() bool {
		resp, err := c.Get(
			within(t),
			"/fairlead/watchers/"+t.Name()+"/",
			clientv3.WithPrefix(),
			clientv3.WithCountOnly(),
		)
		return err == nil && resp.Count == 1
	})
	if err := s.Ready(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := register(t, r, orders(t, "a")).Drain(within(t), 100*time.Millisecond); err != nil {
		t.Error(err)
	}
	b := register(t, r, orders(t, "b"))
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := b.Drain(ctx, clienttest.Long); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if in := b.Instance(); !in.IsDraining() || value(t, c, b.Key()) == "" {
		t.Errorf("%+v", in)
	}
}

// A draining instance goes on serving for as long as its registrar says, even if no watcher is
// announced, but not beyond the limit.
func TestDrainServesAsLongAsTheRegistrarSays(t *testing.T) {
	c := clienttest.Shared(t)
	const serving = 700 * time.Millisecond
	r := registrar(t, c, discovery.WithServing(serving))
	for _, limit := range []time.Duration{clienttest.Long, serving / 7} {
		g := register(t, r, orders(t, "a"))
		began := time.Now()
		if err := g.Drain(within(t), limit); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < min(serving, limit) || limit < serving && took > clienttest.Long/2 {
			t.Errorf("it took %v, serving %v, limit %v", took, serving, limit)
		}
	}
}

// A drain waits longer for a client that passes on its views, by the time that the client gives. It
// may read views or be notified.
func TestAnnounceAfter(t *testing.T) {
	c := clienttest.Shared(t)
	const after = 700 * time.Millisecond
	dir := directory(t, c, discovery.WithAnnounce("passes-on"), discovery.WithAnnounceAfter(after))
	s := subscribe(t, dir)
	r := registrar(t, c)
	clienttest.Await(t, "the watcher is announced", func() bool {
		resp, err := c.Get(
			within(t),
			"/fairlead/watchers/"+t.Name()+"/",
			clientv3.WithPrefix(),
			clientv3.WithCountOnly(),
		)
		return err == nil && resp.Count == 1
	})
	for _, id := range []string{"a", "b"} { // the second while nothing is delayed any more
		g := register(t, r, orders(t, id))
		drained := make(chan error, 1)
		go func() { drained <- g.Drain(within(t), clienttest.Long) }()
		clienttest.Await(t, "it is seen draining", func() bool { v := s.View(); return v != nil && v.Draining() == 1 })
		seen := time.Now()
		clienttest.Await(t, "it has gone", func() bool { return s.View().Len() == 0 })
		if took := time.Since(seen); took < after/2 {
			t.Errorf("%s has gone %v after it was seen", id, took)
		}
		if err := clienttest.Receive(t, "Drain", drained); err != nil {
			t.Error(err)
		}
	}
}

// An announced service takes one goroutine: none waits for a drain.
func TestAnnouncedGoroutines(t *testing.T) {
	const services = 50
	c := clienttest.Shared(t)
	d := directory(t, c, discovery.WithAnnounce("me"))
	follow := func(i int) {
		if _, err := d.Subscribe(fmt.Sprint(t.Name(), i)); err != nil {
			t.Fatal(err)
		}
	}
	announced := func() (n int) {
		r, err := c.Get(within(t), "/fairlead/watchers/"+t.Name(), clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		return int(r.Count)
	}
	follow(0) // what all of them share
	clienttest.Await(t, "the first is announced", func() bool { return announced() == 1 })
	before := runtime.NumGoroutine()
	for i := range services {
		follow(1 + i)
	}
	clienttest.Await(t, "all are announced", func() bool { return announced() == 1+services })
	// Some more may run for the requests.
	clienttest.Await(t, "goroutines end", func() bool { return runtime.NumGoroutine()-before < services*3/2 })
}

// A user who may not write announcements can still follow services, and gets a problem that says
// why no drain waits. Once the user may write them, the client is announced.
func TestAnnounceForbidden(t *testing.T) {
	f := discovery.JSON{Base: t.Name() + "/"}
	_, app, root := limited(t, f.Prefix(t.Name()))
	problems := make(chan discovery.Problem, 1000)
	dir := discovery.NewDirectory(
		app,
		discovery.WithFormat(f),
		discovery.WithAnnounce("me"),
		discovery.WithAnnounceAfter(time.Second),
		discovery.WithProblems(func(p discovery.Problem) { problems <- p }),
	)
	defer dir.Close()
	s := subscribe(t, dir)
	g := register(t, registrar(t, root), orders(t, "a"))
	clienttest.Await(t, "the instance is seen", func() bool { v := s.View(); return v != nil && v.Len() == 1 })
	if p := clienttest.Receive(t, "the reason", problems); p.Service != t.Name() ||
		!strings.Contains(p.Err.Error(), "not announced") {
		t.Errorf("%+v", p)
	}
	if err := g.Drain(within(t), clienttest.Long); err != nil {
		t.Error(err)
	}
	clienttest.Await(t, "the instance has gone", func() bool { return s.View().Len() == 0 })
	ok(t, "allow", allow(within(t), root, "/fairlead/watchers/"))
	clienttest.Await(t, "the announcement", func() bool {
		return value(t, root, "/fairlead/watchers/"+t.Name()+"/me") != ""
	})
	if n := len(problems); n > 0 {
		t.Errorf("%d more problems", n)
	}
}

// If etcd does not answer, the limit bounds the whole drain.
func TestDrainWithoutEtcd(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	g := register(t, registrar(t, c), orders(t, "a"))
	m := cluster.Members()[0]
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Thaw() })
	began := time.Now()
	if err := g.Drain(within(t), 500*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > clienttest.Long/3 { // 2.5 s
		t.Errorf("it took %v", took)
	}
}

// For a caller that only reads views, a drain counts as seen when it gets a view with it. For a
// caller of Next it does not, since that one may still act on an older change.
func TestDrainSeenByView(t *testing.T) {
	c := clienttest.Shared(t)
	dir := directory(t, c, discovery.WithAnnounce("looks"))
	s := subscribe(t, dir)
	r := registrar(t, c)
	a, b := register(t, r, orders(t, "a")), register(t, r, orders(t, "b"))
	clienttest.Await(t, "the watcher is announced", func() bool {
		resp, err := c.Get(
			within(t),
			"/fairlead/watchers/"+t.Name()+"/",
			clientv3.WithPrefix(),
			clientv3.WithCountOnly(),
		)
		return err == nil && resp.Count == 1
	})
	clienttest.Await(t, "both", func() bool { v := s.View(); return v != nil && v.Len() == 2 })
	drained := make(chan error, 1)
	drain := func(g *discovery.Registration, limit time.Duration) {
		go func() { drained <- g.Drain(within(t), limit) }()
		clienttest.Await(t, "it drains", func() bool {
			v := s.View()
			in := v.Get(g.Instance().ID)
			return in == nil || in.IsDraining()
		})
	}
	began := time.Now()
	drain(a, clienttest.Long)
	if err := clienttest.Receive(t, "Drain", drained); err != nil || time.Since(began) > clienttest.Long/2 {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	next(t, s)
	const limit = 300 * time.Millisecond
	began = time.Now()
	drain(b, limit)
	if err := clienttest.Receive(t, "Drain", drained); err != nil || time.Since(began) < limit {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// An operator drains an instance, whatever the format of its record. The drain outlives a restart,
// and holds whatever the owner declares, until the operator revokes it. When an operator removes
// the record of a living instance, the instance puts it back.
func TestOperatorDrainsAndRemovesInstances(t *testing.T) {
	c := clienttest.Shared(t)
	t.Cleanup(func() { _, _ = c.Delete(context.Background(), "/fairlead/control/"+t.Name(), clientv3.WithPrefix()) })
	for _, f := range []discovery.Format{
		base(t), discovery.Raw{Base: t.Name() + "/raw/"}, discovery.Kratos{Base: t.Name() + "/kratos/"},
	} {
		t.Run(fmt.Sprintf("%T", f), func(t *testing.T) {
			var happened events
			r := registrar(t, c, discovery.WithFormat(f), discovery.WithEvents(happened.add))
			g := register(t, r, orders(t, "a"))
			record := value(t, c, g.Key())
			for what, err := range map[string]error{"Drain": discovery.Drain(within(t), c, f, t.Name(),
				"b"), "Undrain": discovery.Undrain(within(t), c, f, t.Name(), "b")} {
				if !errors.Is(err, discovery.ErrNotFound) {
					t.Errorf("%s of nobody: %v", what, err)
				}
			}
			s := follow(t, c, f)
			drains := func(want bool) {
				t.Helper()
				clienttest.Await(t, fmt.Sprint("draining: ", want), func() bool {
					v := s.View()
					return v != nil && v.Len() == 1 && v.At(0).IsDraining() == want
				})
			}
			for range 2 {
				if err := discovery.Drain(within(t), c, f, t.Name(), "a"); err != nil {
					t.Fatal(err)
				}
				drains(true)
			}
			if err := g.Update(within(t), func(in *discovery.Instance) { in.State = discovery.Up }); err != nil {
				t.Fatal(err)
			}
			if v := value(t, c, g.Key()); v != record &&
				f == discovery.Format(discovery.Raw{Base: t.Name() + "/raw/"}) {
				t.Errorf("the record is %s, was %s", v, record)
			}
			if err := g.Close(within(t)); err != nil {
				t.Fatal(err)
			}
			clienttest.Await(t, "it has gone", func() bool { return s.View().Len() == 0 })
			g = register(t, r, orders(t, "a"))
			drains(true)
			if err := discovery.Undrain(within(t), c, f, t.Name(), "a"); err != nil {
				t.Fatal(err)
			}
			drains(false)
			if v := value(t, c, "/fairlead/control/"+url.PathEscape(t.Name())); v != "" {
				t.Errorf("left: %s", v)
			}
			if err := discovery.Remove(within(t), c, f, t.Name(), "a"); err != nil {
				t.Fatal(err)
			}
			happened.await(t, discovery.Restored, 1)
			if v := value(t, c, g.Key()); v == "" {
				t.Error("it is not back")
			}
		})
	}
}

// An operator's drain can be undone even if the instance has gone. A drain by the owner cannot.
func TestUndrain(t *testing.T) {
	c := clienttest.Shared(t)
	f := base(t)
	r := registrar(t, c)
	g := register(t, r, orders(t, "a"))
	if err := discovery.Drain(within(t), c, f, t.Name(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := discovery.Undrain(within(t), c, f, t.Name(), "a"); err != nil {
		t.Errorf("of one that has gone: %v", err)
	}
	if err := discovery.Undrain(within(t), c, f, t.Name(), "a"); !errors.Is(err, discovery.ErrNotFound) {
		t.Errorf("of nothing: %v", err)
	}
	g = register(t, r, orders(t, "a"))
	set(t, g, discovery.Draining)
	if err := discovery.Undrain(within(t), c, f, t.Name(), "a"); err != nil {
		t.Fatal(err)
	}
	if in := g.Instance(); !in.IsDraining() || !strings.Contains(value(t, c, g.Key()), "draining") {
		t.Errorf("%+v", in)
	}
}

// A record that another client has changed is corrected.
func TestRecordIsItsOwners(t *testing.T) {
	c := clienttest.Shared(t)
	g := register(t, registrar(t, c), orders(t, "a"))
	before := value(t, c, g.Key())
	in := g.Instance()
	in.State = discovery.Draining
	v, err := base(t).Marshal(&in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(within(t), g.Key(), string(v), clientv3.WithIgnoreLease()); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "it is corrected", func() bool { return value(t, c, g.Key()) == before })
}

// The registrar's events say when a drain began and ended, and whether the watchers had seen it.
func TestDrainIsReported(t *testing.T) {
	c := clienttest.Shared(t)
	var happened events
	r := registrar(t, c, discovery.WithEvents(happened.add))
	if err := register(t, r, orders(t, "a")).Drain(within(t), clienttest.Long); err != nil {
		t.Fatal(err)
	}
	happened.await(t, discovery.Leaving, 1)
	happened.await(t, discovery.Left, 1)
	if e := happened.last(discovery.Left); e.Err != nil || e.Took <= 0 || e.Instance.ID != "a" {
		t.Errorf("%+v", e)
	}
	s := subscribe(t, directory(t, c, discovery.WithAnnounce("never-looks")))
	if err := s.Ready(within(t)); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "the watcher is announced", func() bool {
		resp, err := c.Get(
			within(t),
			"/fairlead/watchers/"+t.Name()+"/",
			clientv3.WithPrefix(),
			clientv3.WithCountOnly(),
		)
		return err == nil && resp.Count == 1
	})
	const limit = 100 * time.Millisecond
	if err := register(t, r, orders(t, "b")).Drain(within(t), limit); err != nil {
		t.Fatal(err)
	}
	happened.await(t, discovery.Left, 2)
	if e := happened.last(discovery.Left); e.Err == nil || e.Took < limit {
		t.Errorf("nobody had seen it: %+v", e)
	}
}

// A drain by a user who may not read the announcements does not last until its limit. The event
// says why.
func TestDrainForbidden(t *testing.T) {
	_, app, _ := limited(t, base(t).Prefix("x"))
	ended := make(chan discovery.Event, 1)
	r := registrar(t, app, discovery.WithServing(200*time.Millisecond), discovery.WithEvents(func(e discovery.Event) {
		if e.Kind == discovery.Left {
			ended <- e
		}
	}))
	g, err := r.Register(within(t), discovery.Instance{Service: "x", ID: "1", Addresses: []string{"h:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Drain(within(t), time.Hour); err != nil {
		t.Fatal(err)
	}
	e := <-ended
	if clientv3.Code(e.Err) != codes.PermissionDenied || e.Took < 200*time.Millisecond {
		t.Errorf("after %v: %v", e.Took, e.Err)
	}
}
