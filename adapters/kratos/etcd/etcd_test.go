package etcd_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/registry"
	kgrpc "github.com/go-kratos/kratos/v2/transport/grpc"
	khttp "github.com/go-kratos/kratos/v2/transport/http"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/fairlead-go/fairlead/adapters/kratos/etcd"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

var outage = flag.Duration("outage", 10*time.Second, "how long etcd is away in TestOutage")

func TestMain(m *testing.M) {
	log.SetLogger(log.NewFilter(log.GetLogger(), log.FilterLevel(log.LevelFatal)))
	etcdtest.Main(m)
}

var ok = clienttest.OK

func within(t testing.TB) context.Context { return clienttest.Within(t, clienttest.Long) }

// newRegistry returns a registry with a client of its own, as another process would have.
func newRegistry(t testing.TB, endpoints []string, opts ...etcd.Option) *etcd.Registry {
	t.Helper()
	r := etcd.New(clienttest.Dial(t, endpoints...), opts...)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func instance(name, id string) *registry.ServiceInstance {
	return &registry.ServiceInstance{
		ID: id, Name: name, Metadata: map[string]string{"weight": "10"},
		Endpoints: []string{"grpc://127.0.0.1:9000?isSecure=false"},
	}
}

// follow returns the lists that Next returns, until the test ends.
func follow(t testing.TB, r *etcd.Registry, name string) (<-chan []string, *atomic.Bool) {
	t.Helper()
	w, err := r.Watch(context.Background(), name)
	ok(t, "Watch", err)
	lists := make(chan []string)
	ended, done := new(atomic.Bool), make(chan struct{})
	t.Cleanup(func() { _ = w.Stop(); close(done) })
	go func() {
		defer ended.Store(true)
		for {
			all, err := w.Next()
			if err != nil {
				return
			}
			ids := []string{}
			for _, s := range all {
				ids = append(ids, s.ID)
			}
			select {
			case lists <- ids:
			case <-done:
				return
			}
		}
	}()
	return lists, ended
}

// awaitList waits for a list of these ids; others may come before.
func awaitList(t testing.TB, lists <-chan []string, want ...string) {
	t.Helper()
	for {
		if got := clienttest.Receive(t, fmt.Sprint("a list of ", want), lists); slices.Equal(got, want) {
			return
		}
	}
}

// The record is, byte for byte, the one that kratos' own package writes, in the place where it
// looks.
func TestRecordsAreThoseOfKratos(t *testing.T) {
	t.Parallel()
	c := clienttest.Shared(t)
	r := newRegistry(t, etcdtest.Shared(t).Endpoints())
	ok(t, "Register", r.Register(within(t), instance("helloworld", "0")))
	const want = `{"id":"0","name":"helloworld","version":"","metadata":{"weight":"10"},` +
		`"endpoints":["grpc://127.0.0.1:9000?isSecure=false"]}`
	got, err := c.Get(within(t), "/microservices/helloworld/0")
	ok(t, "Get", err)
	if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != want {
		t.Fatalf("stored: %s", got.Kvs)
	}
	ttl, err := c.TimeToLive(within(t), clientv3.LeaseID(got.Kvs[0].Lease))
	if err != nil || ttl.GrantedTTL != 15 {
		t.Errorf("the lease: %+v, %v", ttl, err)
	}
	ok(t, "Deregister", r.Deregister(within(t), instance("helloworld", "0")))
	if got, err := c.Get(within(t), "/microservices/helloworld/0"); err != nil || len(got.Kvs) > 0 {
		t.Errorf("after Deregister: %v, %v", got, err)
	}
	ok(t, "Deregister again", r.Deregister(within(t), instance("helloworld", "0")))
}

// Metadata belong to the user: names that Fairlead's own records interpret mean nothing here, and
// senseless values do not exclude an instance.
func TestMetadataStay(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, etcdtest.Shared(t).Endpoints(), etcd.Namespace("/"+t.Name()))
	for id, metadata := range map[string]map[string]string{
		"a": {"state": "california", "zone": "z", "tags": "x", "version": "v"}, "b": nil, "c": {"weight": "heavy"},
		"d": {"weight": "0"},
	} {
		s := instance("meta", id)
		s.Metadata = metadata
		ok(t, "Register", r.Register(within(t), s))
		all, err := r.GetService(within(t), "meta")
		ok(t, "GetService", err)
		i := slices.IndexFunc(all, func(s *registry.ServiceInstance) bool { return s.ID == id })
		if i < 0 || !all[i].Equal(s) || fmt.Sprint(all[i].Metadata) != fmt.Sprint(metadata) {
			t.Errorf("%s came back as %v", s, all)
		}
	}
	changed := instance("meta", "a")
	changed.Version = "v2"
	ok(t, "Register again", r.Register(within(t), changed))
	if all, err := r.GetService(within(t), "meta"); err != nil || all[0].Version != "v2" {
		t.Errorf("a service that registers again: %v, %v", all, err)
	}
}

// There are two services, the name of one beginning with that of the other, and markers and bad
// records.
func TestWatcherSeesItsServiceOnly(t *testing.T) {
	t.Parallel()
	c := clienttest.Shared(t)
	base := "/" + t.Name()
	for key, value := range map[string]string{
		"/orders": "a marker", "/orders/": "another", "/orders/bad": "{", "/orders/x/y": "{}",
	} {
		_, err := c.Put(within(t), base+key, value)
		ok(t, "Put", err)
	}
	r := newRegistry(t, etcdtest.Shared(t).Endpoints(), etcd.Namespace(base))
	lists, _ := follow(t, newRegistry(t, etcdtest.Shared(t).Endpoints(), etcd.Namespace(base)), "orders")
	ok(t, "Register", r.Register(within(t), instance("orders2", "other")))
	ok(t, "Register", r.Register(within(t), instance("orders", "1")))
	// There is no first list until the service exists.
	if got := clienttest.Receive(t, "a list", lists); !slices.Equal(got, []string{"1"}) {
		t.Errorf("the first list: %v", got)
	}
	ok(t, "Register", r.Register(within(t), instance("orders", "2")))
	awaitList(t, lists, "1", "2")
	ok(t, "Deregister", r.Deregister(within(t), instance("orders", "1")))
	awaitList(t, lists, "2")
	ok(t, "Deregister", r.Deregister(within(t), instance("orders", "2")))
	awaitList(t, lists)
}

// The operators' settings apply to programs of kratos.
func TestOperatorsSettingsApply(t *testing.T) {
	t.Parallel()
	c := clienttest.Shared(t)
	r := newRegistry(t, etcdtest.Shared(t).Endpoints())
	lists, _ := follow(t, r, t.Name())
	for _, id := range []string{"1", "2"} {
		ok(t, "Register", r.Register(within(t), instance(t.Name(), id)))
	}
	awaitList(t, lists, "1", "2")
	ok(t, "Drain", discovery.Drain(within(t), c, discovery.Kratos{}, t.Name(), "1"))
	awaitList(t, lists, "2")
	t.Cleanup(func() { // a later run of the test has the same server
		none := func(c *discovery.Control) error { *c = discovery.Control{}; return nil }
		ok(t, "no settings", discovery.ChangeControl(context.Background(), c, t.Name(), none))
	})
	ok(t, "Undrain", discovery.Undrain(within(t), c, discovery.Kratos{}, t.Name(), "1"))
	awaitList(t, lists, "1", "2")
	ok(t, "weight", discovery.ChangeControl(within(t), c, t.Name(), func(c *discovery.Control) error {
		c.Override("2", func(o *discovery.Override) { o.Weight = 55 })
		return nil
	}))
	awaitList(t, lists, "1", "2")
	clienttest.Await(t, "the weight", func() bool {
		all, err := r.GetService(within(t), t.Name())
		return err == nil && all[0].Metadata["weight"] == "10" && all[1].Metadata["weight"] == "55"
	})
}

func TestWatcherEnds(t *testing.T) {
	t.Parallel()
	cli := clienttest.Dial(t, etcdtest.Shared(t).Endpoints()...)
	r := etcd.New(cli)
	for name, end := range map[string]func(context.CancelFunc, registry.Watcher){
		"context": func(cancel context.CancelFunc, _ registry.Watcher) { cancel() },
		"stop":    func(_ context.CancelFunc, w registry.Watcher) { _ = w.Stop() },
	} {
		ctx, cancel := context.WithCancel(context.Background())
		w, err := r.Watch(ctx, "nobody")
		ok(t, "Watch", err)
		time.AfterFunc(20*time.Millisecond, func() { end(cancel, w) })
		if _, err := w.Next(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.Next(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, again: %v", name, err)
		}
		cancel()
	}
	w, err := r.Watch(context.Background(), "nobody")
	ok(t, "Watch", err)
	ok(t, "Close", r.Close())
	if _, err := w.Next(); !errors.Is(err, discovery.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	ok(t, "Close again", r.Close())
	for name, err := range calls(t, r) {
		if !errors.Is(err, discovery.ErrClosed) {
			t.Errorf("%s when closed: %v", name, err)
		}
	}
}

func calls(t *testing.T, r *etcd.Registry) map[string]error {
	_, get := r.GetService(within(t), "s")
	_, watch := r.Watch(within(t), "s")
	return map[string]error{"Register": r.Register(within(t), instance("s", "1")), "GetService": get, "Watch": watch}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	c := clienttest.Shared(t)
	var nobody context.Context
	for name, r := range map[string]*etcd.Registry{
		"no client":  etcd.New(nil),
		"no option":  etcd.New(c, nil),
		"no context": etcd.New(c, etcd.Context(nobody)),
		"TTL":        etcd.New(c, etcd.RegisterTTL(0)),
		"serving":    etcd.New(c, etcd.WithServing(-1)),
	} {
		for call, err := range calls(t, r) {
			if !errors.Is(err, discovery.ErrInvalid) {
				t.Errorf("%s, %s: %v", name, call, err)
			}
		}
		ok(t, "Close", r.Close())
	}
	r := newRegistry(t, etcdtest.Shared(t).Endpoints())
	for _, s := range []*registry.ServiceInstance{nil, {}, {ID: "1"}, {Name: "s"}} {
		if err := r.Register(within(t), s); !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("Register(%v): %v", s, err)
		}
		if err := r.Deregister(within(t), s); !errors.Is(err, discovery.ErrInvalid) {
			t.Errorf("Deregister(%v): %v", s, err)
		}
	}
}

// While etcd is away, a start fails within the time that kratos gives it, with the reason, and
// leaves nothing behind.
func TestRegisterWithoutEtcd(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	r := newRegistry(t, cl.Endpoints())
	cl.Members()[0].Proxy().Cut()
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := r.Register(ctx, instance("s", "1")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Register: %v", err)
	} else if took := time.Since(began); took > 3*time.Second {
		t.Errorf("Register returned after %v", took)
	}
	ok(t, "Heal", cl.Members()[0].Proxy().Heal())
	ok(t, "Register", r.Register(within(t), instance("s", "2")))
	all, err := r.GetService(within(t), "s")
	if err != nil || len(all) != 1 || all[0].ID != "2" {
		t.Errorf("GetService: %v, %v", all, err)
	}
}

// A record comes back whatever took it away.
func TestRecordComesBack(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := clienttest.Dial(t, cl.Members()[0].Direct)
	backup := filepath.Join(t.TempDir(), "backup")
	save(t, c, backup)
	r := newRegistry(t, cl.Endpoints(), etcd.RegisterTTL(5*time.Second))
	ok(t, "Register", r.Register(within(t), instance("s", "1")))
	lists, _ := follow(t, newRegistry(t, cl.Endpoints()), "s")
	awaitList(t, lists, "1")
	const key = "/microservices/s/1"
	there := func() *clientv3.GetResponse {
		got, err := c.Get(within(t), key)
		ok(t, "Get", err)
		return got
	}
	for name, take := range map[string]func(){
		"key deleted": func() { _, err := c.Delete(within(t), key); ok(t, "Delete", err) },
		"lease revoked": func() {
			_, err := c.Revoke(within(t), clientv3.LeaseID(there().Kvs[0].Lease))
			ok(t, "Revoke", err)
		},
		"restored": func() { ok(t, "RestoreSnapshot", cl.RestoreSnapshot(within(t), backup, cl.Token()+"2")) },
	} {
		was := there()
		take()
		// A restored cluster may give the record its old revision: it is another cluster.
		clienttest.Await(t, "the record after: "+name, func() bool {
			got, err := c.Get(within(t), key)
			return err == nil && len(got.Kvs) == 1 && (got.Kvs[0].CreateRevision != was.Kvs[0].CreateRevision ||
				got.Header.ClusterId != was.Header.ClusterId)
		})
	}
}

func save(t *testing.T, c *clientv3.Client, file string) {
	t.Helper()
	clienttest.StorageKnown(t, c)
	snapshot, err := c.SnapshotWithVersion(within(t))
	ok(t, "Snapshot", err)
	defer snapshot.Snapshot.Close()
	f, err := os.Create(file)
	ok(t, "Create", err)
	_, err = f.ReadFrom(snapshot.Snapshot)
	ok(t, "copy", errors.Join(err, f.Close()))
}

// app is a program of kratos, with a server for gRPC and one for HTTP.
type app struct {
	*kratos.App
	ended chan error
}

func startApp(t testing.TB, r *etcd.Registry, id string) *app {
	t.Helper()
	web := khttp.NewServer(khttp.Address("127.0.0.1:0"))
	web.HandleFunc("/id", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%q", id) })
	a := &app{ended: make(chan error, 1)}
	up := make(chan struct{})
	a.App = kratos.New(
		kratos.ID(id),
		kratos.Name("shop"),
		kratos.Registrar(r),
		kratos.Signal(syscall.SIGUSR1), // an empty list would mean all signals
		kratos.Server(web, kgrpc.NewServer(kgrpc.Address("127.0.0.1:0"))),
		kratos.AfterStart(func(context.Context) error { close(up); return nil }),
	)
	go func() { a.ended <- a.Run() }()
	select {
	case <-up:
	case err := <-a.ended:
		t.Fatalf("the app ended: %v", err)
	}
	return a
}

func (a *app) stop(t testing.TB) {
	t.Helper()
	ok(t, "Stop", a.Stop())
	ok(t, "Run", clienttest.Receive(t, "the end of the app", a.ended))
}

// load calls the shop in both ways until stop is called, a few hundred times a second.
type load struct {
	calls  atomic.Int64
	failed atomic.Int64
	first  atomic.Pointer[error]
	stop   func()
}

func startLoad(t testing.TB, r *etcd.Registry) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	web, err := khttp.NewClient(
		within(t),
		khttp.WithEndpoint("discovery:///shop"),
		khttp.WithDiscovery(r),
		khttp.WithBlock(),
	)
	ok(t, "the client for HTTP", err)
	conn, err := kgrpc.DialInsecure(within(t), kgrpc.WithEndpoint("discovery:///shop"), kgrpc.WithDiscovery(r),
		kgrpc.WithOptions(grpc.WithDefaultCallOptions(grpc.WaitForReady(true))))
	ok(t, "the client for gRPC", err)
	health := grpc_health_v1.NewHealthClient(conn)
	l := new(load)
	var wg sync.WaitGroup
	ways := []func(context.Context) error{
		func(ctx context.Context) error {
			var id string
			return web.Invoke(ctx, http.MethodGet, "/id", nil, &id)
		},
		func(ctx context.Context) error {
			_, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
			return err
		},
	}
	for _, call := range ways {
		wg.Go(func() {
			for tick := time.NewTicker(5 * time.Millisecond); ctx.Err() == nil; <-tick.C {
				one, done := context.WithTimeout(context.Background(), clienttest.Long)
				err := call(one)
				done()
				l.calls.Add(1)
				if err != nil {
					l.failed.Add(1)
					l.first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	l.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		_ = web.Close()
		_ = conn.Close()
	})
	t.Cleanup(l.stop)
	return l
}

// judge fails unless there were calls and none of them failed.
func (l *load) judge(t testing.TB) {
	t.Helper()
	before := l.calls.Load()
	clienttest.Await(t, "calls", func() bool { return l.calls.Load() > before+20 })
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d calls failed, the first with: %v", n, l.calls.Load(), *l.first.Load())
	}
}

// With kratos' own servers and clients, no call fails while all instances are replaced.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{})
	servers := newRegistry(t, cl.Endpoints())
	var apps []*app
	for i := range 3 {
		apps = append(apps, startApp(t, servers, fmt.Sprint("old", i)))
	}
	l := startLoad(t, newRegistry(t, cl.Endpoints()))
	for i, a := range apps {
		apps[i] = startApp(t, servers, fmt.Sprint("new", i))
		a.stop(t)
	}
	l.judge(t)
	l.stop()
	for _, a := range apps {
		a.stop(t)
	}
}

// Etcd is away twice for several TTLs, and comes back empty the second time. No call fails, and no
// instance leaves the lists of its followers.
func TestOutage(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	m := cl.Members()[0]
	servers := newRegistry(t, cl.Endpoints(), etcd.RegisterTTL(5*time.Second))
	apps := []*app{startApp(t, servers, "a"), startApp(t, servers, "b")}
	clients := newRegistry(t, cl.Endpoints())
	lists, _ := follow(t, clients, "shop")
	awaitList(t, lists, "a", "b")
	l := startLoad(t, clients)
	for _, wipe := range []bool{false, true} {
		m.Kill()
		for end := time.After(*outage); ; {
			select {
			case got := <-lists:
				if len(got) < 2 {
					t.Errorf("left: %v", got)
				}
				continue
			case <-end:
			}
			break
		}
		if wipe {
			ok(t, "RemoveAll", os.RemoveAll(m.DataDir))
		}
		ok(t, "Restart", m.Restart())
		direct := clienttest.Dial(t, m.Direct)
		clienttest.Await(t, "the records", func() bool {
			got, err := direct.Get(within(t), "/microservices/shop/", clientv3.WithPrefix())
			return err == nil && len(got.Kvs) == 2
		})
		l.judge(t)
	}
	// After etcd's return a watcher holds for a TTL what it misses, so look for longer than that.
	for end := time.After(7 * time.Second); ; {
		select {
		case got := <-lists:
			if len(got) < 2 {
				t.Errorf("left after the return: %v", got)
			}
			continue
		case <-end:
		}
		break
	}
	l.judge(t)
	l.stop()
	for _, a := range apps {
		a.stop(t)
	}
}
