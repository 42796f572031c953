package discovery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func directory(t testing.TB, c *clientv3.Client, opts ...discovery.DirectoryOption) *discovery.Directory {
	t.Helper()
	d := discovery.NewDirectory(c, append([]discovery.DirectoryOption{discovery.WithFormat(base(t))}, opts...)...)
	t.Cleanup(func() { d.Close() })
	return d
}

func subscribe(t testing.TB, d *discovery.Directory) *discovery.Subscription {
	t.Helper()
	s, err := d.Subscribe(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func next(t testing.TB, s *discovery.Subscription) discovery.Change {
	t.Helper()
	c, err := s.Next(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ids(list []*discovery.Instance) []string {
	var names []string
	for _, in := range list {
		names = append(names, in.ID)
	}
	slices.Sort(names)
	return names
}

// awaitIDs waits until a view has these instances.
func awaitIDs(t testing.TB, s *discovery.Subscription, want ...string) {
	t.Helper()
	clienttest.Await(t, fmt.Sprint("the view has ", want), func() bool {
		v := s.View()
		return v != nil && slices.Equal(ids(v.Instances()), want)
	})
}

func TestSubscribe(t *testing.T) {
	c := clienttest.Shared(t)
	d := directory(t, c)
	s := subscribe(t, d)
	if ch := next(t, s); len(ch.Added) != 0 || ch.View.Len() != 0 || ch.Stale {
		t.Errorf("a service without instances: %+v", ch)
	}
	r := registrar(t, c)
	a := register(t, r, orders(t, "a"))
	if ch := next(t, s); !slices.Equal(ids(ch.Added), []string{"a"}) || len(ch.Updated)+len(ch.Removed) != 0 ||
		ch.View.Len() != 1 {
		t.Errorf("%+v", ch)
	}
	before := s.View()
	if err := a.Update(within(t), func(in *discovery.Instance) { in.State = discovery.Draining }); err != nil {
		t.Fatal(err)
	}
	if ch := next(t, s); !slices.Equal(ids(ch.Updated), []string{"a"}) || !ch.Updated[0].IsDraining() ||
		ch.View.Draining() != 1 ||
		ch.View.Revision() <= before.Revision() {
		t.Errorf("%+v", ch)
	}
	if before.At(0).IsDraining() || before.Draining() != 0 {
		t.Error("a view has changed")
	}
	b := register(t, r, orders(t, "b"))
	awaitIDs(t, s, "a", "b")
	if err := a.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	awaitIDs(t, s, "b")
	// One change has both: b came and a went.
	if ch := next(t, s); !slices.Equal(ids(ch.Added), []string{"b"}) || !slices.Equal(ids(ch.Removed), []string{"a"}) {
		t.Errorf("%+v", ch)
	}
	// Instances that come and go meanwhile are no change.
	x := register(t, r, orders(t, "x"))
	awaitIDs(t, s, "b", "x")
	if err := x.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	awaitIDs(t, s, "b")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if ch, err := s.Next(ctx); err != context.DeadlineExceeded {
		t.Errorf("%+v, %v", ch, err)
	}
	// A second subscription shares the watch and begins with everything.
	two := subscribe(t, d)
	if ch := next(t, two); !slices.Equal(ids(ch.Added), []string{"b"}) {
		t.Errorf("%+v", ch)
	}
	if in := two.View().Get("b"); in == nil || in.Version != "v1" || two.View().Get("zz") != nil {
		t.Errorf("%+v", in)
	}
	if st := two.Status(); st.Stale || st.Revision == 0 || st.Age > time.Minute {
		t.Errorf("%+v", st)
	}
	two.Close()
	if _, err := two.Next(within(t)); err != discovery.ErrClosed {
		t.Errorf("Next after Close: %v", err)
	}
	if err := b.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	if ch := next(t, s); !slices.Equal(ids(ch.Removed), []string{"b"}) || ch.View.Len() != 0 {
		t.Errorf("%+v", ch)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(within(t)); err != discovery.ErrClosed {
		t.Errorf("Next after Close of the directory: %v", err)
	}
	if _, err := d.Subscribe("x"); err != discovery.ErrClosed {
		t.Errorf("Subscribe after Close: %v", err)
	}
}

// A bad record is reported and left out. A bad record may become good, and a good one bad.
func TestBadRecords(t *testing.T) {
	c := clienttest.Shared(t)
	var mu sync.Mutex
	problems := make(map[string]int)
	d := directory(t, c, discovery.WithProblems(func(p discovery.Problem) {
		mu.Lock()
		defer mu.Unlock()
		problems[p.Key]++
	}))
	prefix := base(t).Prefix(t.Name())
	good := func(id string) string {
		v, err := json.Marshal(discovery.Instance{Service: t.Name(), ID: id, Addresses: []string{"h:1"}})
		if err != nil {
			t.Fatal(err)
		}
		return string(v)
	}
	write := func(id, v string) {
		t.Helper()
		if _, err := c.Put(within(t), prefix+id, v); err != nil {
			t.Fatal(err)
		}
	}
	bad := map[string]string{
		"garbage": "{", "empty": "", "other": good("another"),
		"weightless": strings.Replace(good("weightless"), `"id"`, `"weight":-3,"id"`, 1),
		"large": `{"x":"` + strings.Repeat(
			"x",
			1<<20,
		) + `"}`, "stranger": strings.Replace(good("stranger"), t.Name(), "elsewhere", 1),
	}
	for id, v := range bad {
		write(id, v)
	}
	write("a", good("a"))
	s := subscribe(t, d)
	awaitIDs(t, s, "a")
	write("b", good("b"))
	write("a", "turned bad")
	awaitIDs(t, s, "b")
	write("garbage", good("garbage"))
	awaitIDs(t, s, "b", "garbage")
	mu.Lock()
	defer mu.Unlock()
	for id := range maps.Keys(bad) {
		if problems[prefix+id] != 1 {
			t.Errorf("%s was reported %d times", id, problems[prefix+id])
		}
	}
	if problems[prefix+"a"] != 1 {
		t.Errorf("the one that turned bad was reported %d times", problems[prefix+"a"])
	}
}

// While etcd is away the view stays, marked as stale. When etcd is back the view is right, whatever
// was compacted meanwhile. Vanished instances are held for a while, and so long the view is stale.
func TestDirectoryOutage(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	member := cluster.Members()[0]
	direct := clienttest.Dial(t, member.Direct)
	r := registrar(t, direct)
	a := register(t, r, orders(t, "a"))
	register(t, r, orders(t, "b"))
	s := subscribe(t, directory(t, clienttest.Dial(t, cluster.Endpoints()...), discovery.WithReturnHold(time.Second)))
	awaitIDs(t, s, "a", "b")
	next(t, s)
	member.Proxy().BlackHole()
	if ch := next(t, s); !ch.Stale || ch.View.Len() != 2 {
		t.Errorf("%+v", ch)
	}
	if st := s.Status(); !st.Stale || st.Age == 0 {
		t.Errorf("%+v", st)
	}
	if err := a.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	register(t, r, orders(t, "c"))
	resp, err := direct.Get(within(t), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := direct.Compact(within(t), resp.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if err := member.Proxy().Heal(); err != nil {
		t.Fatal(err)
	}
	healed := time.Now()
	ch := next(t, s)
	for len(ch.Added) == 0 { // a change that only ends the staleness may come first
		ch = next(t, s)
	}
	if !slices.Equal(ids(ch.Added), []string{"c"}) || len(ch.Removed) > 0 || !ch.Stale {
		t.Errorf("%+v", ch)
	}
	for len(ch.Removed) == 0 {
		ch = next(t, s)
	}
	if held := time.Since(healed); !slices.Equal(ids(ch.Removed), []string{"a"}) || ch.Stale || held < time.Second {
		t.Errorf("%+v after %v", ch, held)
	}
}

// When etcd is wiped no view becomes empty. Living instances come back, one after the other. One
// that has died meanwhile goes a TTL after the view has reached etcd again.
func TestDirectoryWiped(t *testing.T) {
	const ttl, instances = 2, 10
	cluster := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	dead := clienttest.Dial(t, cluster.Endpoints()...)
	register(t, registrar(t, dead, discovery.WithTTL(ttl)), orders(t, "dead"))
	want := []string{}
	for i := range instances {
		in := orders(t, fmt.Sprint(i))
		register(t, registrar(t, c, discovery.WithTTL(ttl)), in)
		want = append(want, in.ID)
	}
	s := subscribe(t, directory(t, c, discovery.WithReturnHold(ttl*time.Second)))
	awaitIDs(t, s, append(slices.Clone(want), "dead")...)
	m := cluster.Members()[0]
	m.Kill()
	dead.Close()
	if err := os.RemoveAll(m.DataDir); err != nil {
		t.Fatal(err)
	}
	restart(t, m)
	for v := s.View(); v.Get("dead") != nil; v = next(t, s).View {
		if v.Len() != instances+1 {
			t.Fatalf("%d instances are left", v.Len())
		}
	}
	awaitIDs(t, s, want...)
	clienttest.Await(t, "the view is not stale", func() bool { return !s.Status().Stale })
}

// If a file could not be written, for example on a full disk, it is written as soon as it can be,
// without another change. The failure is reported once.
func TestFileIsWrittenLaterWithoutAChange(t *testing.T) {
	c := clienttest.Shared(t)
	register(t, registrar(t, c), orders(t, "a"))
	dir := filepath.Join(t.TempDir(), "files")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // there can be no directory of this name
		t.Fatal(err)
	}
	problems := make(chan discovery.Problem, 10)
	d := directory(t, c, discovery.WithFiles(dir), discovery.WithProblems(func(p discovery.Problem) { problems <- p }))
	awaitIDs(t, subscribe(t, d), "a")
	clienttest.Receive(t, "the problem", problems)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(t, "the file", func() bool {
		list, _ := filepath.Glob(filepath.Join(dir, "*.json")) // the pattern is valid
		return len(list) == 1
	})
	if len(problems) > 0 {
		t.Errorf("again: %v", (<-problems).Err)
	}
}

// A process can start while etcd is away.
func TestProcessStartsFromItsFileWithoutEtcd(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	dir := t.TempDir()
	register(t, registrar(t, c), orders(t, "a"))
	d := directory(t, c, discovery.WithFiles(dir))
	s := subscribe(t, d)
	awaitIDs(t, s, "a")
	err := discovery.ChangeControl(within(t), c, t.Name(), func(ctl *discovery.Control) error {
		ctl.Split = discovery.Split{"v1": 100}
		ctl.Override("a", func(o *discovery.Override) { o.Weight = 50 })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	clienttest.Await(
		t,
		"the operators' changes",
		func() bool { return s.View().Get("a").Weight == 50 && len(s.View().Split()) == 1 },
	)
	if err := d.Close(); err != nil { // now at the latest the file is written
		t.Fatal(err)
	}
	if err := cluster.Members()[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cluster.Members()[0].Thaw() })
	// No subscription ever sees the file's view as fresh.
	var late *discovery.Subscription
	var readers sync.WaitGroup
	again := directory(t, c, discovery.WithFiles(dir))
	for range 200 {
		late = subscribe(t, again)
		sub := late
		readers.Go(func() {
			ch, err := sub.Next(within(t))
			if err != nil || !ch.Stale || !slices.Equal(ids(ch.Added), []string{"a"}) || ch.View.Revision() != 0 ||
				ch.Added[0].Weight != 50 || ch.View.Split().String() != "v1=100" {
				t.Errorf("%+v, %v", ch, err)
			}
		})
	}
	readers.Wait()
	if err := cluster.Members()[0].Thaw(); err != nil {
		t.Fatal(err)
	}
	clienttest.Await(
		t,
		"the view is no longer stale",
		func() bool { return !late.Status().Stale && late.Status().Revision > 0 },
	)
}

func TestProtection(t *testing.T) {
	c := clienttest.Shared(t)
	r := registrar(t, c)
	var regs []*discovery.Registration
	for i := range 10 {
		regs = append(regs, register(t, r, orders(t, fmt.Sprint(i))))
	}
	problems := make(chan discovery.Problem, 10)
	d := directory(t, c, discovery.WithProtection(discovery.Protection{Share: 0.3, Hold: time.Second}),
		discovery.WithProblems(func(p discovery.Problem) { problems <- p }))
	s := subscribe(t, d)
	clienttest.Await(t, "all are there", func() bool { return s.View() != nil && s.View().Len() == 10 })
	resp, err := c.Get(within(t), regs[0].Key())
	if err != nil {
		t.Fatal(err)
	}
	r.Close() // all vanish at once
	_ = resp
	p := clienttest.Receive(t, "the report", problems)
	if p.Service != t.Name() || p.Err == nil {
		t.Errorf("%+v", p)
	}
	if n := s.View().Len(); n != 7 {
		t.Errorf("%d are kept", n)
	}
	clienttest.Await(t, "they are let go", func() bool { return s.View().Len() == 0 })
}

// A million keys do not fit into one answer. Thousands need several pages.
func TestManyRecords(t *testing.T) {
	c := clienttest.Shared(t)
	const n = 12_000 // more than two pages
	prefix := base(t).Prefix(t.Name())
	var ops []clientv3.Op
	for i := range n {
		v := fmt.Sprintf(`{"service":%q,"id":"%d","addresses":["h:1"]}`, t.Name(), i)
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%d", prefix, i), v))
		if len(ops) == 120 || i == n-1 {
			if _, err := c.Txn(within(t)).Then(ops...).Commit(); err != nil {
				t.Fatal(err)
			}
			ops = nil
		}
	}
	s := subscribe(t, directory(t, c))
	if err := s.Ready(within(t)); err != nil {
		t.Fatal(err)
	}
	if v := s.View(); v.Len() != n || v.At(n-1) == nil {
		t.Errorf("%d instances", v.Len())
	}
}

func TestSubscribeRefuses(t *testing.T) {
	d := directory(t, clienttest.Shared(t))
	for _, name := range []string{"", "a b", "a\x00", strings.Repeat("x", 300)} {
		if _, err := d.Subscribe(name); !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// An instance that closes vanishes from views at once; one that dies vanishes with its lease.
func TestClosedInstanceVanishesAtOnceAndDeadOneWithItsLease(t *testing.T) {
	c := clienttest.Shared(t)
	s := subscribe(t, directory(t, c))
	closing := register(t, registrar(t, c), orders(t, "closing"))
	dies := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	const ttl = 2
	dying := discovery.NewRegistrar(dies, discovery.WithFormat(base(t)), discovery.WithTTL(ttl))
	register(t, dying, orders(t, "dying"))
	awaitIDs(t, s, "closing", "dying")
	began := time.Now()
	if err := closing.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	awaitIDs(t, s, "dying")
	t.Logf("closed: gone after %v", time.Since(began))
	began = time.Now()
	if err := dies.Close(); err != nil { // for etcd this is as if its process had died
		t.Fatal(err)
	}
	awaitIDs(t, s)
	t.Logf("dead: gone after %v, with a TTL of %d s", time.Since(began), ttl)
}

// stuck is a Watcher whose watches never open, as when the cluster goes away meanwhile.
type stuck struct{ clientv3.Watcher }

func (stuck) Watch(ctx context.Context, _ string, _ ...clientv3.OpOption) clientv3.WatchChan {
	<-ctx.Done()
	none := make(chan clientv3.WatchResponse)
	close(none)
	return none
}

// A view becomes stale too if etcd goes away while its watch is being opened.
func TestStaleWhileTheWatchOpens(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	c.Watcher = stuck{c.Watcher}
	s := subscribe(t, directory(t, c))
	if ch := next(t, s); ch.Stale {
		t.Errorf("%+v", ch)
	}
	cluster.Members()[0].Proxy().Refuse()
	cluster.Members()[0].Proxy().Cut()
	clienttest.Await(t, "the view is stale", func() bool { return s.Status().Stale })
}
