package etcdv3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/go-kit/kit/endpoint"
	"github.com/go-kit/kit/sd"
	"github.com/go-kit/kit/sd/lb"
	"github.com/go-kit/log"

	"github.com/fairlead-go/fairlead/adapters/gokit/sd/etcdv3"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

func client(t testing.TB, endpoints ...string) etcdv3.Client {
	t.Helper()
	if len(endpoints) == 0 {
		endpoints = etcdtest.Shared(t).Endpoints()
	}
	ctx, cancel := context.WithCancel(context.Background())
	c, err := etcdv3.NewClient(ctx, endpoints, etcdv3.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cancel)
	return c
}

func entries(t testing.TB, c etcdv3.Client) []string {
	t.Helper()
	list, err := c.GetEntries(t.Name() + "/")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

var ok = clienttest.OK

// follow returns the events of an instancer of the test's prefix.
func follow(t testing.TB, c etcdv3.Client) (*etcdv3.Instancer, chan sd.Event) {
	t.Helper()
	i, err := etcdv3.NewInstancer(c, t.Name()+"/", log.NewNopLogger())
	ok(t, "NewInstancer", err)
	t.Cleanup(i.Stop)
	events := make(chan sd.Event, 1) // Register waits until the first is taken
	i.Register(events)
	t.Cleanup(func() { i.Deregister(events) })
	return i, events
}

// awaitEvent waits for an event with these instances; others may come before.
func awaitEvent(t testing.TB, events <-chan sd.Event, want ...string) {
	t.Helper()
	for {
		e := clienttest.Receive(t, fmt.Sprint("instances ", want), events)
		if e.Err == nil && slices.Equal(e.Instances, want) {
			return
		}
	}
}

// Any number of services: each is deregistered by itself, and none takes an instancer with it.
func TestRegister(t *testing.T) {
	c := client(t)
	for _, s := range []etcdv3.Service{{Value: "v"}, {Key: "k"}} {
		if err := c.Register(s); err != etcdv3.ErrNoKey && err != etcdv3.ErrNoValue {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if err := c.Deregister(etcdv3.Service{}); err != etcdv3.ErrNoKey {
		t.Errorf("%v", err)
	}
	if c.LeaseID() != 0 {
		t.Error("a lease without a service")
	}
	_, events := follow(t, c)
	awaitEvent(t, events)
	one := etcdv3.Service{Key: t.Name() + "/1", Value: "http://1"}
	two := etcdv3.Service{Key: t.Name() + "/2", Value: "http://2", TTL: etcdv3.NewTTLOption(time.Second, 5*time.Second)}
	ok(t, "Register", c.Register(one))
	ok(t, "Register", c.Register(two))
	if c.LeaseID() == 0 {
		t.Error("no lease")
	}
	awaitEvent(t, events, "http://1", "http://2")
	ok(t, "Register again", c.Register(etcdv3.Service{Key: one.Key, Value: "http://1.1"}))
	if got := entries(t, c); !slices.Equal(got, []string{"http://1.1", "http://2"}) {
		t.Errorf("%v", got)
	}
	ok(t, "Deregister", c.Deregister(one))
	ok(t, "Deregister again", c.Deregister(one))
	awaitEvent(t, events, "http://2")
	ok(t, "Deregister", c.Deregister(two))
	awaitEvent(t, events)
}

// A registration outlives a lost lease and a deleted key.
func TestRegistrationHeals(t *testing.T) {
	c := client(t)
	raw := clienttest.Shared(t)
	s := etcdv3.Service{Key: t.Name() + "/1", Value: "http://1"}
	ok(t, "Register", c.Register(s))
	_, err := raw.Delete(clienttest.Within(t, clienttest.Long), s.Key)
	ok(t, "Delete", err)
	clienttest.Await(t, "the key is back", func() bool { return len(entries(t, c)) == 1 })
	before := c.LeaseID()
	_, err = raw.Revoke(clienttest.Within(t, clienttest.Long), clientv3.LeaseID(before))
	ok(t, "Revoke", err)
	clienttest.Await(t, "the key is back under another lease", func() bool {
		return len(entries(t, c)) == 1 && c.LeaseID() != before && c.LeaseID() != 0
	})
	ok(t, "Deregister", c.Deregister(s))
}

// The time to live is the one that was asked for, rounded up.
func TestTTL(t *testing.T) {
	c := client(t)
	raw := clienttest.Shared(t)
	for _, tc := range []struct {
		heartbeat, ttl time.Duration
		seconds        int64
	}{{time.Second, 5 * time.Second, 5}, {0, 0, 2}, {3 * time.Second, time.Second, 9}, {
		time.Second, 2500 * time.Millisecond, 3,
	}} {
		s := etcdv3.Service{Key: t.Name() + "/1", Value: "v", TTL: etcdv3.NewTTLOption(tc.heartbeat, tc.ttl)}
		ok(t, "Register", c.Register(s))
		r, err := raw.TimeToLive(clienttest.Within(t, clienttest.Long), clientv3.LeaseID(c.LeaseID()))
		ok(t, "TimeToLive", err)
		if r.GrantedTTL != tc.seconds {
			t.Errorf("heartbeat %v, ttl %v: %d s, want %d", tc.heartbeat, tc.ttl, r.GrantedTTL, tc.seconds)
		}
		ok(t, "Deregister", c.Deregister(s))
		if r, err := raw.TimeToLive(clienttest.Within(t, clienttest.Long), clientv3.LeaseID(r.ID)); err != nil ||
			r.TTL > 0 {
			clienttest.Await(t, "the lease is gone", func() bool {
				r, err := raw.TimeToLive(clienttest.Within(t, clienttest.Long), r.ID)
				return err == nil && r.TTL <= 0
			})
		}
	}
}

// Deregister leaves a key alone that somebody else has taken.
func TestDeregisterLeavesOthers(t *testing.T) {
	one, two := client(t), client(t)
	s := etcdv3.Service{Key: t.Name() + "/1", Value: "http://one"}
	ok(t, "Register", one.Register(s))
	ok(t, "Register", two.Register(etcdv3.Service{Key: s.Key, Value: "http://two"}))
	ok(t, "Deregister", one.Deregister(s))
	if got := entries(t, two); !slices.Equal(got, []string{"http://two"}) {
		t.Errorf("%v", got)
	}
	ok(t, "Deregister", two.Deregister(s))
}

// Instancers go on when history was compacted while they were cut off, and after etcd was away.
func TestInstancerGoesOnAfterACompactionAndAnOutage(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	member := cluster.Members()[0]
	c := client(t, cluster.Endpoints()...)
	raw := clienttest.Dial(t, member.Direct)
	put := func(key string) int64 {
		t.Helper()
		r, err := raw.Put(clienttest.Within(t, clienttest.Long), t.Name()+"/"+key, key)
		ok(t, "Put", err)
		return r.Header.Revision
	}
	put("a")
	_, events := follow(t, c)
	awaitEvent(t, events, "a")
	member.Proxy().Cut()
	_, err := raw.Delete(clienttest.Within(t, clienttest.Long), t.Name()+"/a")
	ok(t, "Delete", err)
	_, err = raw.Compact(clienttest.Within(t, clienttest.Long), put("b"))
	ok(t, "Compact", err)
	ok(t, "Heal", member.Proxy().Heal())
	awaitEvent(t, events, "b")
	put("c")
	awaitEvent(t, events, "b", "c")
}

// A subscriber that does not read delays nobody. Stop is quick, may be called twice, and leaves
// nothing behind.
func TestSlowSubscriber(t *testing.T) {
	c := client(t)
	i, events := follow(t, c)
	stuck := make(chan sd.Event, 1) // nobody reads
	i.Register(stuck)
	for n := range 20 {
		ok(
			t,
			"Register",
			c.Register(etcdv3.Service{Key: fmt.Sprintf("%s/%02d", t.Name(), n), Value: fmt.Sprintf("%02d", n)}),
		)
	}
	for len(clienttest.Receive(t, "all", events).Instances) < 20 {
	}
	i.Stop()
	i.Stop()
	i.Deregister(stuck)
	for n := range 20 {
		ok(t, "Deregister", c.Deregister(etcdv3.Service{Key: fmt.Sprintf("%s/%02d", t.Name(), n)}))
	}
}

// foreign is a Client of another kind: its WatchPrefix returns now and then.
type foreign struct {
	etcdv3.Client
	signals chan struct{}
	list    func() ([]string, error)
}

func (f *foreign) GetEntries(string) ([]string, error) { return f.list() }

func (f *foreign) WatchPrefix(_ string, ch chan struct{}) {
	ch <- struct{}{}
	if _, open := <-f.signals; open {
		ch <- struct{}{}
	}
}

func TestForeignClient(t *testing.T) {
	away := errors.New("away")
	answers := make(chan []string, 1)
	f := &foreign{signals: make(chan struct{}), list: func() ([]string, error) {
		select {
		case a := <-answers:
			return a, nil
		default:
			return nil, away
		}
	}}
	i, err := etcdv3.NewInstancer(f, "p", log.NewNopLogger())
	ok(t, "NewInstancer", err)
	events := make(chan sd.Event, 1)
	i.Register(events)
	if e := clienttest.Receive(t, "the error", events); e.Err != away {
		t.Errorf("%+v", e)
	}
	for n := range 3 {
		want := fmt.Sprint(n)
		answers <- []string{want}
		select {
		case f.signals <- struct{}{}:
		case <-time.After(clienttest.Long):
			t.Fatal("it does not watch again")
		}
		awaitEvent(t, events, want)
	}
	i.Stop()
	close(f.signals)
}

func TestNewClientRefuses(t *testing.T) {
	ctx := t.Context()
	quick := etcdv3.ClientOptions{DialTimeout: 300 * time.Millisecond}
	if _, err := etcdv3.NewClient(ctx, []string{"127.0.0.1:1"}, quick); err == nil {
		t.Error("nobody listens there")
	} else {
		t.Log(err)
	}
	frozen := etcdtest.Start(t, etcdtest.Options{})
	ok(t, "Freeze", frozen.Members()[0].Freeze())
	t.Cleanup(func() { frozen.Members()[0].Thaw() })
	if _, err := etcdv3.NewClient(ctx, frozen.Endpoints(), quick); err == nil {
		t.Error("it is frozen")
	}
	empty := filepath.Join(t.TempDir(), "ca.pem")
	ok(t, "WriteFile", os.WriteFile(empty, nil, 0o600))
	for what, o := range map[string]etcdv3.ClientOptions{
		"half a pair": {Cert: "cert.pem"}, "no file": {CACert: "nowhere.pem"}, "an empty file": {CACert: empty},
		"no pair": {Cert: empty, Key: empty},
	} {
		if _, err := etcdv3.NewClient(ctx, []string{"127.0.0.1:1"}, o); err == nil {
			t.Error(what)
		}
	}
}

// A certificate authority alone is enough.
func TestCACertAlone(t *testing.T) {
	certs := etcdtest.NewTLS(t)
	cluster := etcdtest.Start(t, etcdtest.Options{TLS: certs})
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	c, err := etcdv3.NewClient(ctx, cluster.Endpoints(), etcdv3.ClientOptions{CACert: certs.CAFile})
	ok(t, "NewClient", err)
	ok(t, "Register", c.Register(etcdv3.Service{Key: t.Name() + "/1", Value: "v"}))
}

// The parts of go-kit work on it: calls go to the present instances in turn.
func TestWithGoKit(t *testing.T) {
	c := client(t)
	var urls []string
	for n := range 2 {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, n) }))
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
		r := etcdv3.NewRegistrar(
			c,
			etcdv3.Service{Key: fmt.Sprintf("%s/%d", t.Name(), n), Value: s.URL},
			log.NewNopLogger(),
		)
		r.Register()
		t.Cleanup(r.Deregister)
	}
	answers := callThrough(t, c, t.Name()+"/", 10)
	if answers["0"] != 5 || answers["1"] != 5 {
		t.Errorf("%v at %v", answers, urls)
	}
}

// The heartbeat is the one that was asked for, although the client would renew less often.
func TestHeartbeatIsTheOneAskedFor(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	c := client(t, cluster.Endpoints()...)
	renewed := func() float64 {
		t.Helper()
		n, err := cluster.Members()[0].Metric(
			clienttest.Within(t, clienttest.Long),
			"etcd_debugging_lease_renewed_total",
		)
		ok(t, "Metric", err)
		return n
	}
	s := etcdv3.Service{
		Key:   t.Name() + "/1",
		Value: "v",
		TTL:   etcdv3.NewTTLOption(500*time.Millisecond, 10*time.Minute),
	}
	ok(t, "Register", c.Register(s))
	before := renewed()
	clienttest.Await(t, "three heartbeats", func() bool { return renewed() >= before+3 })
	ok(t, "Deregister", c.Deregister(s))
}

// As in the documents, a program calls through go-kit's endpointer as soon as it has made it.
func TestEndpointsAtOnce(t *testing.T) {
	c := client(t)
	ok(t, "Register", c.Register(etcdv3.Service{Key: t.Name() + "/1", Value: "http://one"}))
	i, err := etcdv3.NewInstancer(c, t.Name()+"/", log.NewNopLogger())
	ok(t, "NewInstancer", err)
	t.Cleanup(i.Stop)
	factory := func(string) (endpoint.Endpoint, io.Closer, error) { return endpoint.Nop, nil, nil }
	for range 60 {
		e := sd.NewEndpointer(i, factory, log.NewNopLogger())
		_, err := lb.Retry(3, 3*time.Second, lb.NewRoundRobin(e))(t.Context(), struct{}{})
		e.Close()
		ok(t, "a call at once", err)
	}
}

// Stop ends a Register whose channel nobody reads.
func TestStopEndsRegister(t *testing.T) {
	i, err := etcdv3.NewInstancer(client(t), t.Name()+"/", log.NewNopLogger())
	ok(t, "NewInstancer", err)
	returned := make(chan struct{}, 1)
	go func() {
		i.Register(make(chan sd.Event))
		returned <- struct{}{}
	}()
	i.Stop()
	clienttest.Receive(t, "Register's return", returned)
	i.Register(make(chan sd.Event)) // returns, since there are no more events
}

// Live services stay in view while etcd is wiped, until they have registered again. Services that
// do not come back disappear after a TTL.
func TestInstancerOverAWipe(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	member := cluster.Members()[0]
	living, follower := client(t, cluster.Endpoints()...), client(t, cluster.Endpoints()...)
	ok(t, "Register", living.Register(etcdv3.Service{Key: t.Name() + "/a", Value: "a"}))
	_, err := clienttest.Dial(t, cluster.Endpoints()...).
		Put(clienttest.Within(t, clienttest.Long), t.Name()+"/dead", "dead")
	ok(t, "Put", err)
	_, events := follow(t, follower)
	ok(t, "Register", living.Register(etcdv3.Service{Key: t.Name() + "/b", Value: "b"}))
	awaitEvent(t, events, "a", "b", "dead")

	member.Kill()
	ok(t, "wipe", os.RemoveAll(member.DataDir))
	wiped := time.Now()
	ok(t, "Restart", member.Restart())
	for {
		e := clienttest.Receive(t, "an event without what is dead", events)
		if e.Err != nil || !slices.Contains(e.Instances, "a") || !slices.Contains(e.Instances, "b") {
			t.Fatalf("one that lives is gone: %+v", e)
		}
		if !slices.Contains(e.Instances, "dead") {
			break
		}
	}
	if held := time.Since(wiped); held < 9*time.Second {
		t.Errorf("the dead service went after %v", held)
	}
	if got := entries(t, living); !slices.Contains(got, "a") || !slices.Contains(got, "b") {
		t.Errorf("the living service is not registered again: %v", got)
	}
}

// An instancer that has had no change since it listed shows what a wiped etcd has, even if that
// etcd has meanwhile reached higher revisions.
func TestInstancerOverAWipeThatOvertook(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := clienttest.Dial(t, cluster.Endpoints()...)
	for range 3 {
		_, err := c.Put(clienttest.Within(t, clienttest.Long), t.Name()+"/a", "before")
		ok(t, "Put", err)
	}
	_, events := follow(t, client(t, cluster.Endpoints()...))
	awaitEvent(t, events, "before")
	clienttest.Overtake(t, cluster, map[string]string{t.Name() + "/a": "anew"})
	awaitEvent(t, events, "anew")
}
