package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// orders is an instance of a service named after the test.
func orders(t testing.TB, id string) discovery.Instance {
	return discovery.Instance{Service: t.Name(), ID: id, Addresses: []string{"10.0.0.1:80"}, Version: "v1", Weight: 5}
}

// base keeps the records below the test's name.
func base(t testing.TB) discovery.JSON { return discovery.JSON{Base: t.Name() + "/"} }

func registrar(t testing.TB, c *clientv3.Client, opts ...discovery.RegistrarOption) *discovery.Registrar {
	t.Helper()
	r := discovery.NewRegistrar(c, append([]discovery.RegistrarOption{discovery.WithFormat(base(t))}, opts...)...)
	t.Cleanup(func() { r.Close() })
	return r
}

func within(t testing.TB) context.Context { return clienttest.Within(t, clienttest.Long) }

func value(t testing.TB, c *clientv3.Client, key string) string {
	t.Helper()
	r, err := c.Get(within(t), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Kvs) == 0 {
		return ""
	}
	return string(r.Kvs[0].Value)
}

func register(t testing.TB, r *discovery.Registrar, in discovery.Instance) *discovery.Registration {
	t.Helper()
	g, err := r.Register(within(t), in)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestRegister(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	g := register(t, r, orders(t, "a"))
	if v := value(t, c, g.Key()); !strings.Contains(v, `"10.0.0.1:80"`) || !strings.Contains(v, `"weight":5`) {
		t.Errorf("record %s", v)
	}
	kv, err := c.Get(within(t), g.Key())
	if err != nil || kv.Kvs[0].Lease == 0 {
		t.Errorf("a record without a lease: %v, %v", kv, err)
	}
	err = g.Update(within(t), func(in *discovery.Instance) { in.Version, in.State = "v2", discovery.Draining })
	if err != nil {
		t.Fatal(err)
	}
	if v := value(t, c, g.Key()); !strings.Contains(v, `"v2"`) || !strings.Contains(v, "draining") {
		t.Errorf("after Update: %s", v)
	}
	if in := g.Instance(); in.Version != "v2" {
		t.Errorf("%+v", in)
	}
	if err := g.Update(within(t), func(in *discovery.Instance) { in.ID = "b" }); !errors.Is(err, discovery.ErrInvalid) {
		t.Errorf("another id: %v", err)
	}
	if _, err := r.Register(within(t), orders(t, "a")); !errors.Is(err, discovery.ErrTaken) {
		t.Errorf("the same id twice: %v", err)
	}
	other := register(t, r, orders(t, "b"))
	if err := g.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	if value(t, c, g.Key()) != "" || value(t, c, other.Key()) == "" {
		t.Error("Close removed the wrong record")
	}
	if err := g.Close(within(t)); err != discovery.ErrClosed {
		t.Errorf("Close again: %v", err)
	}
	again := register(t, r, orders(t, "a"))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if value(t, c, again.Key())+value(t, c, other.Key()) != "" {
		t.Error("records are left after Close of the registrar")
	}
	if _, err := r.Register(within(t), orders(t, "c")); err != discovery.ErrClosed {
		t.Errorf("Register after Close: %v", err)
	}
}

// events collects a registrar's events.
type events struct {
	mu   sync.Mutex
	list []discovery.Event
}

func (e *events) add(ev discovery.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, ev)
}

// await waits until an event of a kind has come n times.
func (e *events) await(t testing.TB, kind discovery.EventKind, n int) {
	t.Helper()
	clienttest.Await(t, fmt.Sprintf("%d times %s", n, kind), func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		seen := 0
		for _, ev := range e.list {
			if ev.Kind == kind {
				seen++
			}
		}
		return seen >= n
	})
}

// last is the last event of a kind.
func (e *events) last(kind discovery.EventKind) (last discovery.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.list {
		if ev.Kind == kind {
			last = ev
		}
	}
	return last
}

// The record comes back whatever happens to it, and its owner gets events.
func TestRegistrationHeals(t *testing.T) {
	c := clienttest.Shared(t)
	var happened events
	g := register(t, registrar(t, c, discovery.WithEvents(happened.add)), orders(t, "a"))
	happened.await(t, discovery.Registered, 1)
	lease := func() clientv3.LeaseID {
		r, err := c.Get(within(t), g.Key())
		if err != nil || len(r.Kvs) == 0 {
			return 0
		}
		return clientv3.LeaseID(r.Kvs[0].Lease)
	}
	before := lease()
	if _, err := c.Delete(within(t), g.Key()); err != nil {
		t.Fatal(err)
	}
	happened.await(t, discovery.Lost, 1)
	happened.await(t, discovery.Restored, 1)
	if value(t, c, g.Key()) == "" || lease() != before {
		t.Error("after a deletion the record is not there, or not under its lease")
	}
	if _, err := c.Revoke(within(t), before); err != nil {
		t.Fatal(err)
	}
	happened.await(t, discovery.Restored, 2)
	if now := lease(); now == 0 || now == before {
		t.Errorf("lease %x after %x was revoked", now, before)
	}
}

// etcd is away for three times the TTL: soon after it is back the record is there again, without
// any action by its owner.
func TestRegistrationSurvivesOutage(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	var happened events
	r := registrar(t, c, discovery.WithTTL(2), discovery.WithEvents(happened.add))
	g := register(t, r, orders(t, "a"))
	m := cluster.Members()[0]
	m.Kill()
	happened.await(t, discovery.Lost, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := r.Register(ctx, orders(t, "b")); !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Register while etcd is away: %v", err)
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitReady(within(t)); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	happened.await(t, discovery.Restored, 1)
	t.Logf("restored %v after etcd was ready", time.Since(back))
	if value(t, c, g.Key()) == "" {
		t.Error("the record is not back")
	}
	if v := value(t, c, base(t).Key(&discovery.Instance{Service: t.Name(), ID: "b"})); v != "" {
		t.Errorf("the abandoned registration is there: %s", v)
	}
}

// After a restart etcd gives every lease its whole time again. The registrar keeps its lease, so no
// record vanishes except those whose registrations were closed meanwhile.
func TestOutageLosesNoRecord(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	var happened events
	r := registrar(t, c, discovery.WithTTL(4), discovery.WithEvents(happened.add))
	const records = 20
	var all []*discovery.Registration
	for i := range records {
		all = append(all, register(t, r, orders(t, fmt.Sprint(i))))
	}
	closed := register(t, r, orders(t, "closed"))
	lease := r.Lease()
	resp, err := c.Get(within(t), "k")
	if err != nil {
		t.Fatal(err)
	}
	m := cluster.Members()[0]
	m.Kill()
	happened.await(t, discovery.Lost, records+1)
	if err := closed.Close(within(t)); err != nil {
		t.Errorf("Close without etcd: %v", err)
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitReady(within(t)); err != nil {
		t.Fatal(err)
	}
	happened.await(t, discovery.Restored, records)
	if now := r.Lease(); now != lease {
		t.Errorf("lease %x, before the outage %x", now, lease)
	}
	// The lease lives on, so each closed record has to be removed.
	clienttest.Await(
		t,
		"the records closed during the outage are gone",
		func() bool { return value(t, c, closed.Key()) == "" },
	)
	// When the watch shows this write, it has shown everything before.
	if _, err := c.Put(within(t), all[0].Key()+"/end", ""); err != nil {
		t.Fatal(err)
	}
	for w := range c.Watch(within(t), base(t).Prefix(t.Name()), clientv3.WithPrefix(),
		clientv3.WithRev(resp.Header.Revision+1)) {
		if err := w.Err(); err != nil {
			t.Fatal(err)
		}
		for _, e := range w.Events {
			switch key := string(e.Kv.Key); {
			case key == all[0].Key()+"/end":
				return
			case e.Type == clientv3.EventTypeDelete && key != closed.Key():
				t.Errorf("%s vanished", key)
			}
		}
	}
	t.Error("the watch ended")
}

// Formats change fields that they cannot carry: an address without a scheme is a URL in kratos'
// records. A restarted process finds its own record all the same, and takes it over.
func TestRecordsThatReadOtherwise(t *testing.T) {
	c := clienttest.Shared(t)
	for _, f := range []discovery.Format{
		discovery.Kratos{Base: t.Name() + "/kratos/"}, discovery.Naming{Base: t.Name() + "/naming/"},
	} {
		t.Run(fmt.Sprintf("%T", f), func(t *testing.T) {
			in := discovery.Instance{
				Service:   "orders",
				ID:        "a",
				Addresses: []string{"10.0.0.1:80"},
				Metadata:  map[string]string{"k": "v"},
			}
			register(t, registrar(t, c, discovery.WithFormat(f)), in)
			g := register(t, registrar(t, c, discovery.WithFormat(f)), in)
			set(t, g, discovery.Draining)
			if in := g.Instance(); !in.IsDraining() {
				t.Errorf("%+v", in)
			}
		})
	}
}

// A process never overwrites the record of another one, except that of its own earlier run.
func TestTakenID(t *testing.T) {
	c := clienttest.Shared(t)
	var happened events
	one, two := registrar(t, c, discovery.WithEvents(happened.add)), registrar(t, c)
	first := register(t, one, orders(t, "a"))
	in := orders(t, "a")
	in.Addresses = []string{"10.0.0.2:80"}
	_, err := two.Register(within(t), in)
	var taken *discovery.TakenError
	if !errors.As(err, &taken) || !errors.Is(err, discovery.ErrTaken) || taken.Holder.Addresses[0] != "10.0.0.1:80" ||
		!strings.Contains(err.Error(), "10.0.0.1:80") {
		t.Fatalf("%v", err)
	}
	if v := value(t, c, first.Key()); !strings.Contains(v, "10.0.0.1:80") {
		t.Errorf("record %s", v)
	}
	// The same addresses: a restart.
	second := register(t, two, orders(t, "a"))
	happened.await(t, discovery.Taken, 1)
	// The first does not remove the record of the second.
	err = first.Update(within(t), func(in *discovery.Instance) { in.Version = "stale" })
	if !errors.Is(err, discovery.ErrTaken) {
		t.Errorf("Update of a registration that was replaced: %v", err)
	}
	if v := value(t, c, second.Key()); strings.Contains(v, "stale") {
		t.Errorf("record %s", v)
	}
	// When the second goes, the first is back.
	if err := second.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	happened.await(t, discovery.Restored, 1)
	if v := value(t, c, first.Key()); !strings.Contains(v, "stale") {
		t.Errorf("record %q", v)
	}
	if err := first.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	// An invalid record belongs to some process too.
	if _, err := c.Put(within(t), first.Key(), "garbage"); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Register(within(t), orders(t, "a")); !errors.Is(err, discovery.ErrTaken) {
		t.Errorf("%v", err)
	}
	if v := value(t, c, first.Key()); v != "garbage" {
		t.Errorf("record %s", v)
	}
}

func TestRegisterRefuses(t *testing.T) {
	r := registrar(t, clienttest.Shared(t))
	for what, change := range map[string]func(*discovery.Instance){
		"no service":        func(in *discovery.Instance) { in.Service = "" },
		"no id":             func(in *discovery.Instance) { in.ID = "" },
		"a blank":           func(in *discovery.Instance) { in.ID = "a b" },
		"a control":         func(in *discovery.Instance) { in.Service = "a\x00b" },
		"no UTF-8":          func(in *discovery.Instance) { in.ID = "\xff" },
		"a long id":         func(in *discovery.Instance) { in.ID = strings.Repeat("x", 300) },
		"no address":        func(in *discovery.Instance) { in.Addresses = nil },
		"a bad address":     func(in *discovery.Instance) { in.Addresses = []string{"nowhere"} },
		"a bad URL":         func(in *discovery.Instance) { in.Addresses = []string{"http://"} },
		"an address of :":   func(in *discovery.Instance) { in.Addresses = []string{":80"} },
		"a negative weight": func(in *discovery.Instance) { in.Weight = -1 },
		"a huge weight":     func(in *discovery.Instance) { in.Weight = 1 << 20 },
		"an unknown state":  func(in *discovery.Instance) { in.State = "tired" },
		"metadata of 100 KB": func(in *discovery.Instance) {
			in.Metadata = map[string]string{"x": strings.Repeat("x", 100<<10)}
		},
	} {
		in := orders(t, "a")
		change(&in)
		if _, err := r.Register(within(t), in); !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	in := orders(t, "a/b %")
	in.ID = "a/b%20c"
	in.Service = t.Name() + "/x"
	register(t, r, in) // odd, but fine
}

// Thousands of instances of one process: no goroutine for each, and all come back after a lost
// lease.
func TestManyInstances(t *testing.T) {
	c := clienttest.Shared(t)
	const n = 500
	var happened events
	r := registrar(t, c, discovery.WithEvents(happened.add), discovery.WithWriteRate(1_000_000))
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := r.Register(within(t), orders(t, fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	count := func() int64 {
		resp, err := c.Get(within(t), t.Name()+"/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		return resp.Count
	}
	if k := count(); k != n {
		t.Fatalf("%d records", k)
	}
	kv, err := c.Get(within(t), t.Name()+"/", clientv3.WithFirstKey()...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Revoke(within(t), clientv3.LeaseID(kv.Kvs[0].Lease)); err != nil {
		t.Fatal(err)
	}
	happened.await(t, discovery.Restored, n)
	if k := count(); k != n {
		t.Errorf("%d records after a lost lease", k)
	}
}

// Plain keys are kept too.
func TestKeep(t *testing.T) {
	c := clienttest.Shared(t)
	r, other := registrar(t, c), registrar(t, c)
	key := t.Name() + "/x"
	g, err := r.Keep(within(t), key, "one")
	if err != nil {
		t.Fatal(err)
	}
	if value(t, c, key) != "one" || r.Lease() == 0 || g.Key() != key {
		t.Errorf("%q under lease %x", value(t, c, key), r.Lease())
	}
	if _, err := other.Keep(within(t), key, "two"); !errors.Is(err, discovery.ErrTaken) {
		t.Errorf("another's key: %v", err)
	}
	if err := g.Set(within(t), "three"); err != nil || value(t, c, key) != "three" || g.Value() != "three" {
		t.Errorf("%v, %q", err, value(t, c, key))
	}
	if _, err := c.Delete(within(t), key); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "it is back", func() bool { return value(t, c, key) == "three" })
	if _, err := other.Keep(within(t), key, "three"); err != nil {
		t.Errorf("a restart: %v", err)
	}
	if _, err := r.Keep(within(t), "", "x"); !errors.Is(err, discovery.ErrInvalid) {
		t.Errorf("an empty key: %v", err)
	}
}

// A registrar that is closed just after its last registration leaves no lease behind.
func TestCloseLeavesNoLease(t *testing.T) {
	c := clienttest.Dial(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()...)
	for i := range 50 {
		r := registrar(t, c)
		if err := register(t, r, orders(t, fmt.Sprint(i))).Close(within(t)); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := c.Leases(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(resp.Leases); n > 0 {
		t.Errorf("%d leases are left", n)
	}
}
