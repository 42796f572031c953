package nameserver

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

const patience = 30 * time.Second

// serve runs a server until the test ends.
func serve(t *testing.T, source Source) (s *Server, stop func()) {
	t.Helper()
	s = newServer(t, source, Options{})
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("it does not end")
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func exchange(s *Server, network string, q *dns.Msg) (*dns.Msg, error) {
	c := dns.Client{Net: network, Timeout: patience, UDPSize: maxUDP}
	a, _, err := c.Exchange(q, s.Addr())
	return a, err
}

func mustExchange(t *testing.T, s *Server, network string, q *dns.Msg) *dns.Msg {
	t.Helper()
	a, err := exchange(s, network, q)
	if err != nil {
		t.Fatalf("%s: %v", network, err)
	}
	return a
}

func TestSockets(t *testing.T) {
	s, stop := serve(t, newFake(orders()...))
	for _, network := range []string{"udp", "tcp"} {
		a := mustExchange(t, s, network, query("v1.orders", dns.TypeA))
		if !slices.Equal(data(a.Answer), []string{"A 10.0.0.1"}) {
			t.Errorf("%s: %v", network, a)
		}
		// The domain's own address, which its NS record names.
		a = mustExchange(t, s, network, query("", dns.TypeNS))
		b := mustExchange(t, s, network, query("", dns.TypeA))
		if want := []string{"A 127.0.0.1"}; !slices.Equal(data(a.Extra), want) || !slices.Equal(data(b.Answer), want) {
			t.Errorf("%s: %v, %v", network, a, b)
		}
	}
	// Several queries over one connection, then silence.
	conn, err := dns.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 3 {
		if err := conn.WriteMsg(query("orders", dns.TypeSRV)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if a, err := conn.ReadMsg(); err != nil || len(a.Answer) != 4 {
			t.Fatalf("%v, %v", a, err)
		}
	}
	stop() // with a connection open
	if a, err := conn.ReadMsg(); err == nil {
		t.Errorf("after the end: %v", a)
	}
	if a, err := exchange(s, "tcp", query("orders", dns.TypeA)); err == nil {
		t.Errorf("after the end: %v", a)
	}
}

// Neither rubbish nor more queries than can wait change the server.
func TestFloodChangesNothing(t *testing.T) {
	source := newFake(orders()...)
	source.empty = false
	s, _ := serve(t, source)
	mustExchange(t, s, "udp", query("orders", dns.TypeA))
	udp, err := net.Dial("udp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for i := range 2000 {
		q := query(fmt.Sprint("unknown", i), dns.TypeA) // waits; other queries do not
		packet, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			packet = packet[:i%len(packet)]
		}
		if _, err := udp.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	for _, junk := range [][]byte{{}, {0}, {0xff, 0xff, 1, 2}, {0, 3, 1, 2, 3}} {
		tcp, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = tcp.Write(junk)
		defer tcp.Close()
	}
	for _, network := range []string{"udp", "tcp"} {
		clienttest.Await(t, "an answer over "+network, func() bool {
			c := dns.Client{Net: network, Timeout: time.Second}
			a, _, err := c.Exchange(query("v1.orders", dns.TypeA), s.Addr())
			return err == nil && len(a.Answer) == 1
		})
	}
}

// A query about a new service gets its first view; without a view, SERVFAIL comes in time.
func TestQueryWaitsForTheFirstView(t *testing.T) {
	source := newFake()
	source.empty = false
	s, _ := serve(t, source)
	for _, network := range []string{"udp", "tcp"} {
		begin := time.Now()
		if a := mustExchange(t, s, network, query(network, dns.TypeA)); a.Rcode != dns.RcodeServerFailure {
			t.Errorf("%v", a)
		}
		if took := time.Since(begin); took < loadWithin/2 {
			t.Errorf("did not wait: %v", took)
		}
		mustExchange(t, s, network, query(network, dns.TypeAAAA)) // at once
		source.set(network, &discovery.Instance{Service: network, ID: "a", Addresses: []string{"10.0.0.1:1"}})
		if a := mustExchange(t, s, network, query(network, dns.TypeA)); len(a.Answer) != 1 {
			t.Errorf("%v", a)
		}
	}
}

func TestOptions(t *testing.T) {
	s := newServer(t, newFake(orders()...), Options{})
	if err := s.Listen("127.0.0.1:nonsense"); err == nil {
		t.Error("it listens on an invalid port")
	}
	for _, o := range []Options{{Domain: "."}, {Domain: "a..b"}, {
		Domain: ".a",
	}, {Domain: "ü"}, {Domain: `a\.b`}, {TTL: -1}, {TTL: time.Millisecond}, {TTL: 2 * time.Hour}, {Services: -1}} {
		if _, err := New(newFake(), o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// With etcd: instances come, drain and go; then etcd goes away.
func TestEtcd(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	d := discovery.NewDirectory(client, discovery.WithLog(nil))
	t.Cleanup(func() { d.Close() })
	s, stop := serve(t, FromDirectory(d))
	t.Cleanup(stop) // before the Directory ends
	r := discovery.NewRegistrar(client)
	t.Cleanup(func() { r.Close() })
	await := func(name string, rcode int, want ...string) {
		t.Helper()
		clienttest.Await(t, fmt.Sprint(name, " is ", want), func() bool {
			for _, network := range []string{"udp", "tcp"} {
				a, err := exchange(s, network, query(name, dns.TypeA).SetEdns0(1232, false))
				if err != nil || a.Rcode != rcode || !slices.Equal(data(a.Answer), want) {
					return false
				}
			}
			return true
		})
	}
	await("orders", dns.RcodeNameError)
	a, err := r.Register(clienttest.Within(t, patience),
		discovery.Instance{Service: "orders", ID: "a", Addresses: []string{"10.0.0.1:80"}, Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.Register(clienttest.Within(t, patience),
		discovery.Instance{Service: "orders", ID: "b", Addresses: []string{"10.0.0.2:80"}, Zone: "east"})
	if err != nil {
		t.Fatal(err)
	}
	await("orders", dns.RcodeSuccess, "A 10.0.0.1", "A 10.0.0.2")
	await("v1.orders", dns.RcodeSuccess, "A 10.0.0.1")
	await("east.orders", dns.RcodeSuccess, "A 10.0.0.2")
	if err := a.Update(clienttest.Within(t, patience),
		func(in *discovery.Instance) { in.State = discovery.Draining }); err != nil {
		t.Fatal(err)
	}
	await("orders", dns.RcodeSuccess, "A 10.0.0.2")
	await("v1.orders", dns.RcodeSuccess)
	if err := a.Close(clienttest.Within(t, patience)); err != nil {
		t.Fatal(err)
	}
	await("v1.orders", dns.RcodeNameError)

	cluster.Members()[0].Kill()
	clienttest.Await(t, "the answer is stale", func() bool {
		m, err := exchange(s, "udp", query("orders", dns.TypeA).SetEdns0(1232, false))
		return err == nil && len(m.Answer) == 1 && extended(m) == dns.ExtendedErrorCodeStaleAnswer
	})
	await("orders", dns.RcodeSuccess, "A 10.0.0.2")
	await("unknown", dns.RcodeServerFailure)
	if err := cluster.Members()[0].Restart(); err != nil {
		t.Fatal(err)
	}
	await("unknown", dns.RcodeNameError)
	if err := b.Close(clienttest.Within(t, patience)); err != nil {
		t.Fatal(err)
	}
	await("orders", dns.RcodeNameError)
}
