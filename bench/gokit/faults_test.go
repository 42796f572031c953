package gokit

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kit/kit/endpoint"
	"github.com/go-kit/kit/sd"
	"github.com/go-kit/kit/sd/lb"
	"github.com/go-kit/log"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

var outage = flag.Duration("outage", 2*ttl, "how long etcd is away")

// theirPatience is how long go-kit's own package has before it counts as not recovering. Ours has
// [clienttest.Long], and needs that much only on a busy machine.
const theirPatience = 2 * ttl

// raceDetector says whether the test is built with the race detector.
var raceDetector bool

// prefix is the prefix of the services; each test has an etcd of its own.
const prefix = "/services/shop/"

// shop is the victim of a fault: two instances with a client each, and a client that follows and
// calls them all the time through go-kit's endpointer, balancer and retries.
type shop struct {
	t       *testing.T
	kind    int
	cluster *etcdtest.Cluster
	direct  *clientv3.Client
	backup  string // of the data before the first registration

	instances map[string]*instance // by key
	follower  client
	seen      *view
	load      *load
	back      time.Duration // until etcd had all instances; negative: it never had
}

// instance is a process that serves.
type instance struct {
	key, url string
	client   client
	web      *httptest.Server
}

func openShop(t *testing.T, kind int) *shop {
	s := &shop{t: t, kind: kind, cluster: etcdtest.Start(t, etcdtest.Options{}), instances: make(map[string]*instance)}
	s.backup = clienttest.Backup(t, s.cluster)
	s.direct = clienttest.Dial(t, s.cluster.Endpoints()...)
	s.start("a")
	s.start("b")
	s.follower = connect(t, kind, s.cluster.Endpoints())
	i := follow(t, s.follower, prefix)
	s.seen = look(t, i)
	clienttest.Await(t, "both instances", func() bool { return s.seen.all(s.urls()) })
	s.load = startLoad(t, i)
	return s
}

func (s *shop) start(id string) *instance {
	s.t.Helper()
	i := &instance{key: prefix + id, client: connect(s.t, s.kind, s.cluster.Endpoints())}
	i.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, id) }))
	s.t.Cleanup(i.web.Close)
	i.url = i.web.URL
	ok(s.t, "Register", i.client.register(i.key, i.url))
	s.instances[i.key] = i
	return i
}

func (s *shop) stop(i *instance) {
	s.t.Helper()
	delete(s.instances, i.key)
	ok(s.t, "Deregister", i.client.deregister(i.key, i.url))
	i.web.Close() // once the calls under way are answered
}

func (s *shop) urls() (urls []string) {
	for _, i := range s.instances {
		urls = append(urls, i.url)
	}
	return urls
}

// lease returns the lease of an instance's record.
func (s *shop) lease(id string) clientv3.LeaseID {
	s.t.Helper()
	got, err := s.direct.Get(clienttest.Within(s.t, clienttest.Long), prefix+id)
	ok(s.t, "Get", err)
	if len(got.Kvs) != 1 {
		s.t.Fatalf("etcd has no %s", id)
	}
	return clientv3.LeaseID(got.Kvs[0].Lease)
}

// restored waits until etcd has all instances again. After one failure it does not wait any more.
func (s *shop) restored() {
	if s.back < 0 {
		return
	}
	took := within(s.patience(), s.registered)
	if took < 0 {
		s.back = took
		return
	}
	s.back = max(s.back, took)
}

func (s *shop) patience() time.Duration {
	if s.kind == theirKind {
		return theirPatience
	}
	return clienttest.Long
}

// registered reports whether etcd has all instances.
func (s *shop) registered() bool {
	got, err := s.direct.Get(clienttest.Within(s.t, clienttest.Long), prefix, clientv3.WithPrefix())
	if err != nil {
		return false
	}
	var have []string
	for _, kv := range got.Kvs {
		have = append(have, string(kv.Value))
	}
	return contains(have, s.urls())
}

func contains(have, want []string) bool {
	return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(have, w) })
}

// view is the last event of an instancer.
type view struct {
	mu   sync.Mutex
	urls []string
}

func look(t *testing.T, i sd.Instancer) *view {
	v := new(view)
	received, done := make(chan sd.Event), make(chan struct{})
	go func() {
		for {
			select {
			case e := <-received:
				v.mu.Lock()
				if e.Err == nil {
					v.urls = e.Instances
				}
				v.mu.Unlock()
			case <-done:
				return
			}
		}
	}()
	i.Register(received)
	t.Cleanup(func() { i.Deregister(received); close(done) })
	return v
}

func (v *view) all(urls []string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return contains(v.urls, urls)
}

// load makes about fifty calls a second.
type load struct {
	calls, failed atomic.Int64
	first         atomic.Pointer[error]
	stop          func()
}

func startLoad(t *testing.T, i sd.Instancer) *load {
	endpoints := sd.NewEndpointer(i, call, log.NewNopLogger())
	t.Cleanup(endpoints.Close)
	clienttest.Await(
		t,
		"endpoints",
		func() bool { list, err := endpoints.Endpoints(); return err == nil && len(list) == 2 },
	)
	retry := lb.Retry(3, 5*time.Second, lb.NewRoundRobin(endpoints))
	ctx, cancel := context.WithCancel(context.Background())
	l := new(load)
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			_, err := retry(context.Background(), struct{}{})
			l.calls.Add(1)
			if err != nil {
				l.failed.Add(1)
				l.first.CompareAndSwap(nil, &err)
			}
			<-tick.C
		}
	})
	l.stop = sync.OnceFunc(func() { cancel(); ended.Wait(); http.DefaultClient.CloseIdleConnections() })
	t.Cleanup(l.stop)
	return l
}

// call makes endpoints from URLs.
func call(url string) (endpoint.Endpoint, io.Closer, error) {
	return func(ctx context.Context, _ any) (any, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(resp.Body)
	}, nil, nil
}

// faults are the faults that both packages meet.
var faults = []struct {
	name   string
	strike func(s *shop)
	races  bool // go-kit's own package has a data race there, so the detector would fail any test
}{
	{name: "etcd away", strike: func(s *shop) {
		m := s.cluster.Members()[0]
		m.Kill()
		time.Sleep(*outage) // the time under test: nothing can be awaited while etcd is away
		ok(s.t, "Restart", m.Restart())
		ok(s.t, "WaitReady", m.WaitReady(clienttest.Within(s.t, clienttest.Long)))
	}},
	// One instance after the other: if they come back, one serves at any time.
	{name: "leases revoked", strike: func(s *shop) {
		for _, id := range []string{"a", "b"} {
			_, err := s.direct.Revoke(clienttest.Within(s.t, clienttest.Long), s.lease(id))
			ok(s.t, "Revoke", err)
			s.restored()
		}
	}},
	{name: "keys deleted", strike: func(s *shop) {
		for _, id := range []string{"a", "b"} {
			_, err := s.direct.Delete(clienttest.Within(s.t, clienttest.Long), prefix+id)
			ok(s.t, "Delete", err)
			s.restored()
		}
	}},
	{name: "backup restored", strike: func(s *shop) {
		m := s.cluster.Members()[0]
		m.Kill()
		ok(s.t, "RemoveAll", os.RemoveAll(m.DataDir))
		ok(s.t, "CopyFS", os.CopyFS(m.DataDir, os.DirFS(s.backup)))
		ok(s.t, "Restart", m.Restart())
		ok(s.t, "WaitReady", m.WaitReady(clienttest.Within(s.t, clienttest.Long)))
	}},
	{name: "rolling restart", strike: func(s *shop) {
		for _, id := range []string{"a", "b"} {
			s.start(id + "2")
			s.stop(s.instances[prefix+id])
		}
	}},
	// An ordinary program with two services that also calls some.
	{name: "a client registers twice", races: true, strike: func(s *shop) {
		for _, id := range []string{"c", "d"} {
			i := s.start(id)
			ok(s.t, "Deregister", i.client.deregister(i.key, i.url))
			i.client = s.follower
			ok(s.t, "Register", i.client.register(i.key, i.url))
		}
		time.Sleep(ttl + ttl/2) // by then a record that nobody renews is gone
	}},
}

// outcome is the result of a fault on a shop.
type outcome struct {
	calls, failed int64
	first         error         // of the failed calls
	back          time.Duration // see shop.back
	// reported is the time until the instancer reported all instances and one that registered
	// afterwards; negative: it never did.
	reported time.Duration
}

func meet(t *testing.T, kind int, strike func(*shop)) (o outcome) {
	s := openShop(t, kind)
	strike(s)
	s.restored()
	newcomer := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(newcomer.Close)
	_, err := s.direct.Put(clienttest.Within(t, clienttest.Long), prefix+"newcomer", newcomer.URL)
	ok(t, "Put", err)
	o.back, o.reported = s.back, within(s.patience(), func() bool { return s.seen.all(append(s.urls(), newcomer.URL)) })
	before := s.load.calls.Load()
	clienttest.Await(t, "calls", func() bool { return s.load.calls.Load() > before+20 })
	s.load.stop()
	o.calls, o.failed = s.load.calls.Load(), s.load.failed.Load()
	if err := s.load.first.Load(); err != nil {
		o.first = *err
	}
	return o
}

// within returns the time until something holds, or a negative one if it does not hold within a
// limit.
func within(limit time.Duration, holds func() bool) time.Duration {
	began := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Since(began) > limit {
			return -1
		}
		<-tick.C
	}
	return time.Since(began)
}

func after(d time.Duration) string {
	if d < 0 {
		return "never"
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// TestFaults: with the adapter each record comes back and followers learn of it, whatever happens,
// and no call fails while instances serve. For go-kit's own package the results are printed.
func TestFaults(t *testing.T) {
	outcomes := make([][2]*outcome, len(faults))
	var all sync.WaitGroup
	for i, f := range faults {
		for kind, k := range kinds {
			if f.races && raceDetector && kind == theirKind {
				continue
			}
			all.Go(func() { // they mostly wait
				t.Run(f.name+"/"+k.name, func(t *testing.T) {
					o := meet(t, kind, f.strike)
					outcomes[i][kind] = &o
					if kind == ourKind {
						o.judge(t)
					}
				})
			})
		}
	}
	all.Wait()
	var table strings.Builder
	for i, f := range faults {
		for kind, k := range kinds {
			fmt.Fprintf(&table, "\n%-26s %-9s %v", f.name, k.name, outcomes[i][kind])
		}
	}
	t.Log(table.String())
}

func (o *outcome) judge(t *testing.T) {
	t.Helper()
	if o.back < 0 || o.reported < 0 || o.failed > 0 || o.calls == 0 {
		t.Errorf("%v; the first error: %v", o, o.first)
	}
}

func (o *outcome) String() string {
	if o == nil {
		return "has a data race, or did not get that far"
	}
	return fmt.Sprintf(
		"%5d calls, %5d failed; records back: %7s; the instancer tells: %7s",
		o.calls,
		o.failed,
		after(o.back),
		after(o.reported),
	)
}
