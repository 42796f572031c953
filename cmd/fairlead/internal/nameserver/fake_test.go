package nameserver

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// fakeSource has the services that a test sets; other services never get a view unless empty is
// set.
type fakeSource struct {
	empty bool

	mu    sync.Mutex
	feeds map[string]*fakeFeed // those that are open
	sets  map[string]*fakeView
	away  bool
}

type fakeView []*discovery.Instance

func (v *fakeView) All() iter.Seq[*discovery.Instance] { return slices.Values(*v) }

type fakeFeed struct {
	source *fakeSource
	name   string
	closed chan struct{}
}

func newFake(instances ...discovery.Instance) *fakeSource {
	s := &fakeSource{empty: true, feeds: make(map[string]*fakeFeed), sets: make(map[string]*fakeView)}
	by := make(map[string]fakeView)
	for _, in := range instances {
		by[in.Service] = append(by[in.Service], &in)
	}
	for name, v := range by {
		s.sets[name] = &v
	}
	return s
}

func (s *fakeSource) set(service string, instances ...*discovery.Instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := fakeView(instances)
	s.sets[service] = &v
}

func (s *fakeSource) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// open returns the services that are followed.
func (s *fakeSource) open() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.feeds {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (s *fakeSource) Subscribe(service string) (Feed, error) {
	// The Directory checks this too.
	if err := (&discovery.Instance{Service: service, ID: "x", Addresses: []string{"h:1"}}).Validate(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &fakeFeed{s, service, make(chan struct{})}
	s.feeds[service] = f
	return f, nil
}

func (f *fakeFeed) View() View {
	f.source.mu.Lock()
	defer f.source.mu.Unlock()
	if v := f.source.sets[f.name]; v != nil {
		return v
	}
	if f.source.empty {
		v := new(fakeView)
		f.source.sets[f.name] = v
		return v
	}
	return nil
}

func (f *fakeFeed) Ready(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-f.closed:
		return discovery.ErrClosed
	}
}

func (f *fakeFeed) Stale() bool {
	f.source.mu.Lock()
	defer f.source.mu.Unlock()
	return f.source.away
}

func (f *fakeFeed) Close() {
	f.source.mu.Lock()
	defer f.source.mu.Unlock()
	if f.source.feeds[f.name] == f {
		delete(f.source.feeds, f.name)
	}
	close(f.closed)
}

// orders returns a service with most of what instances can have.
func orders() []discovery.Instance {
	return []discovery.Instance{
		{Service: "orders", ID: "a", Addresses: []string{"10.0.0.1:8080"}, Version: "v1", Zone: "east", Weight: 3},
		{
			Service:   "orders",
			ID:        "b",
			Addresses: []string{"http://10.0.0.2:80/x", "[2001:db8::1]:81", "10.0.0.9:82"},
			Version:   "1.2.3",
			Zone:      "West",
		},
		{Service: "orders", ID: "c", Addresses: []string{"c.example.com:443"}, Version: "v1"},
		{
			Service:   "orders",
			ID:        "d",
			Addresses: []string{"10.0.0.3:80"},
			Version:   "v0",
			Zone:      "north",
			State:     discovery.Draining,
		},
		{
			Service:   "orders",
			ID:        "e",
			Addresses: []string{"[::ffff:10.0.0.1]:8080", "0.0.0.0:1", "[fe80::1%eth0]:1", "ü:1"},
			Version:   "east",
		},
		{Service: "orders", ID: "f", Addresses: []string{"10.0.0.7:http"}, Zone: "east"},
		{Service: "gone", ID: "a", Addresses: []string{"10.0.0.3:80"}, State: discovery.Draining},
		{Service: "a.b", ID: "a", Addresses: []string{"10.1.0.1:80"}},
		{Service: "OrderService", ID: "a", Addresses: []string{"10.1.0.2:80"}},
	}
}

func newServer(t testing.TB, source Source, o Options) *Server {
	t.Helper()
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	o.Domain = "Test.Local"
	s, err := New(source, o)
	if err != nil {
		t.Fatal(err)
	}
	s.rand = func(int) int { return 0 }
	return s
}

// query returns a question about a name below the domain, or about a full name that ends in a dot.
func query(name string, qtype uint16) *dns.Msg {
	if name == "" {
		name = "test.local."
	} else if name[len(name)-1] != '.' {
		name += ".test.local."
	}
	return new(dns.Msg).SetQuestion(name, qtype)
}

// ask gets an answer without sockets.
func ask(t testing.TB, s *Server, q *dns.Msg, size int) *dns.Msg {
	t.Helper()
	packet, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	out := s.finish(s.begin(packet, size))
	compareQuick(t, s, packet)
	a := new(dns.Msg)
	if err := a.Unpack(out); err != nil {
		t.Fatalf("%v in the answer to %v", err, q)
	}
	a.Compress = true // as the server sent it
	if a.Id != q.Id || !a.Response || a.RecursionAvailable || a.RecursionDesired != q.RecursionDesired {
		t.Errorf("header %v", a.MsgHdr)
	}
	return a
}

// data returns the records of a section, without name, TTL and class, in order.
func data(list []dns.RR) []string {
	var texts []string
	for _, rr := range list {
		if _, ok := rr.(*dns.OPT); ok {
			continue
		}
		h := *rr.Header()
		texts = append(texts, fmt.Sprint(dns.TypeToString[h.Rrtype], " ", rr.String()[len(h.String()):]))
	}
	slices.Sort(texts)
	return texts
}
