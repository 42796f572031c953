package nameserver

import (
	"context"
	"net"
	"runtime"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// serveAt runs a server at an address until the test ends; nil if there is no such address.
func serveAt(t *testing.T, address string) *Server {
	t.Helper()
	s := newServer(t, newFake(orders()...), Options{})
	if err := s.Listen(address); err != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

// At all addresses, an answer comes from the address that was asked, from the first query about a
// service on: a client's socket that is connected to it takes no other.
func TestAllAddresses(t *testing.T) {
	for at, asked := range map[string][]string{
		"0.0.0.0:0": {"127.0.0.1", "127.0.0.2"}, "[::]:0": {"127.0.0.1", "127.0.0.2", "::1"},
	} {
		s := serveAt(t, at)
		if s == nil {
			t.Logf("%s: is not available here", at)
			continue
		}
		_, port, err := net.SplitHostPort(s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // another address than the one before
			for _, host := range asked {
				if runtime.GOOS != "linux" && host == "127.0.0.2" {
					continue // there it is no address of this machine
				}
				q := query("orders", dns.TypeA)
				c := dns.Client{Net: "udp", Timeout: patience}
				a, _, err := c.Exchange(q, net.JoinHostPort(host, port))
				if err != nil {
					t.Fatalf("%s asked at %s: %v", at, host, err)
				}
				if !slices.Equal(data(a.Answer), []string{"A 10.0.0.1", "A 10.0.0.2"}) {
					t.Errorf("%s asked at %s: %v", at, host, a)
				}
			}
		}
	}
}

// Several sockets are at one address, but a second server is not.
func TestSecondServerAtAnAddressIsRefused(t *testing.T) {
	s := serveAt(t, "127.0.0.1:0")
	if want := readers(); runtime.GOOS == "linux" && len(s.udp) != want {
		t.Errorf("%d sockets, want %d", len(s.udp), want)
	}
	if other := newServer(t, newFake(), Options{}); other.Listen(s.Addr()) == nil {
		other.Close()
		t.Error("a second one listens there too")
	}
	// Nor if nothing but UDP is taken.
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if other := newServer(t, newFake(), Options{}); other.Listen(p.LocalAddr().String()) == nil {
		other.Close()
		t.Error("a server listens where another program has UDP")
	}
	for range 64 { // each query has another sender, so that all sockets are asked
		mustExchange(t, s, "udp", query("orders", dns.TypeA))
	}
}
