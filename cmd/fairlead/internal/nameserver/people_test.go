package nameserver

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"github.com/fairlead-go/fairlead/discovery"
)

// tagged returns instances with tags, and services with host names only.
func tagged() []discovery.Instance {
	return []discovery.Instance{
		{
			Service:   "orders",
			ID:        "a",
			Addresses: []string{"10.0.0.1:8080"},
			Version:   "v1",
			Zone:      "east",
			Tags:      []string{"Primary", "east", "", "v1", "a b"},
		},
		{Service: "orders", ID: "b", Addresses: []string{"10.0.0.2:8080"}, Version: "v2", Tags: []string{"replica"}},
		{Service: "billing", ID: "a", Addresses: []string{"10.0.0.1:9090", "[2001:db8::1]:1"}},
		{Service: "hosts", ID: "a", Addresses: []string{"A.example.com:80"}, Version: "v1"},
		{Service: "hosts", ID: "b", Addresses: []string{"b.example.com:81"}, Version: "v2"},
		{Service: "mixed", ID: "a", Addresses: []string{"a.example.com:80"}},
		{Service: "mixed", ID: "b", Addresses: []string{"[2001:db8::2]:80"}},
		{Service: "leaving", ID: "a", Addresses: []string{"a.example.com:80"}, State: discovery.Draining},
		{Service: "OrderService", ID: "a", Addresses: []string{"10.0.0.5:80"}},
	}
}

func TestNamesPeopleExpect(t *testing.T) {
	s := newServer(t, newFake(tagged()...), Options{})
	const noError, noName = dns.RcodeSuccess, dns.RcodeNameError
	for _, test := range []struct {
		name  string
		qtype uint16
		rcode int
		want  []string
	}{
		{"primary.orders", dns.TypeA, noError, []string{"A 10.0.0.1"}},
		{"REPLICA.orders", dns.TypeSRV, noError, []string{"SRV 0 10 8080 ip-10-0-0-2.orders.test.local."}},
		// zone and tag: once
		{"east.orders", dns.TypeTXT, noError, []string{
			`TXT "id=a" "version=v1" "zone=east" "tags=Primary,east,,v1,a b"`,
		}},
		{"v1.orders", dns.TypeSRV, noError, []string{"SRV 0 10 8080 ip-10-0-0-1.orders.test.local."}},
		{"x--a-20b.orders", dns.TypeA, noError, []string{"A 10.0.0.1"}},
		{"_orders._tcp", dns.TypeSRV, noError, []string{
			"SRV 0 10 8080 ip-10-0-0-1.orders.test.local.", "SRV 0 10 8080 ip-10-0-0-2.orders.test.local.",
		}},
		{"_ORDERS._TCP", dns.TypeSRV, noError, []string{
			"SRV 0 10 8080 ip-10-0-0-1.ORDERS.test.local.", "SRV 0 10 8080 ip-10-0-0-2.ORDERS.test.local.",
		}},
		{"_x---4frder-53ervice._tcp", dns.TypeSRV, noError, []string{
			"SRV 0 10 80 ip-10-0-0-5.x---4frder-53ervice.test.local.",
		}},
		{"_hosts._tcp", dns.TypeSRV, noError, []string{"SRV 0 10 80 a.example.com.", "SRV 0 10 81 b.example.com."}},
		{"_orders._tcp", dns.TypeA, noError, nil}, {"_hosts._tcp", dns.TypeA, noError, nil},
		{"_tcp", dns.TypeSRV, noError, nil},
		{"_nosuch._tcp", dns.TypeSRV, noName, nil}, {"orders._tcp", dns.TypeSRV, noName, nil},
		{"_._tcp", dns.TypeSRV, noName, nil},
		{"v1._orders._tcp", dns.TypeSRV, noName, nil}, {"_x--._tcp", dns.TypeSRV, noName, nil},
		{"_orders._udp", dns.TypeSRV, noName, nil},
		{"hosts", dns.TypeA, noError, []string{"CNAME a.example.com."}},
		{"hosts", dns.TypeAAAA, noError, []string{"CNAME a.example.com."}},
		{"hosts", dns.TypeCNAME, noError, []string{"CNAME a.example.com."}},
		{"v2.hosts", dns.TypeA, noError, []string{"CNAME b.example.com."}},
		{"hosts", dns.TypeSRV, noError, []string{"SRV 0 10 80 a.example.com.", "SRV 0 10 81 b.example.com."}},
		{"hosts", dns.TypeMX, noError, nil},
		{"mixed", dns.TypeA, noError, nil}, {"mixed", dns.TypeCNAME, noError, nil},
		{"mixed", dns.TypeAAAA, noError, []string{"AAAA 2001:db8::2"}},
		{"leaving", dns.TypeA, noError, nil}, {"orders", dns.TypeCNAME, noError, nil},
	} {
		a := ask(t, s, query(test.name, test.qtype), dns.MaxMsgSize)
		if got := data(a.Answer); a.Rcode != test.rcode || !a.Authoritative || !slices.Equal(got, test.want) {
			t.Errorf("%s %s: %v %q, want %q", test.name, dns.TypeToString[test.qtype], a.MsgHdr, got, test.want)
		}
		for _, rr := range a.Extra { // targets resolve
			if b := ask(t, s, query(rr.Header().Name, rr.Header().Rrtype), dns.MaxMsgSize); len(b.Answer) != 1 ||
				!dns.IsDuplicate(b.Answer[0], rr) {
				t.Errorf("%v, asked for: %v", rr, b.Answer)
			}
		}
	}
}

// Answers take turns among the host names.
func TestCNAMEsTakeTurns(t *testing.T) {
	s := newServer(t, newFake(tagged()...), Options{})
	for i, want := range []string{"CNAME a.example.com.", "CNAME b.example.com."} {
		s.rand = func(int) int { return i }
		if got := data(ask(t, s, query("hosts", dns.TypeA), maxUDP).Answer); !slices.Equal(got, []string{want}) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Addresses of followed services have names, which lead back; queries for all others are refused.
func TestReverse(t *testing.T) {
	s := newServer(t, newFake(tagged()...), Options{})
	if a := ask(t, s, query("1.0.0.10.in-addr.arpa.", dns.TypePTR), maxUDP); a.Rcode != dns.RcodeRefused {
		t.Errorf("before anybody asked for the service: %v", a)
	}
	for _, name := range []string{"orders", "billing", "OrderService"} {
		l, _ := Label(name)
		ask(t, s, query(l, dns.TypeA), maxUDP)
	}
	for name, want := range map[string][]string{
		"1.0.0.10.in-addr.arpa.": {"PTR ip-10-0-0-1.billing.test.local.", "PTR ip-10-0-0-1.orders.test.local."},
		"5.0.0.10.IN-ADDR.arpa.": {"PTR ip-10-0-0-5.x---4frder-53ervice.test.local."},
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.": {
			"PTR ip-2001-db8-0-0-0-0-0-1.billing.test.local.",
		},
	} {
		// Billing's IPv6 address is also the target of its own name.
		a := ask(t, s, query(name, dns.TypePTR), maxUDP)
		if got := data(a.Answer); a.Rcode != dns.RcodeSuccess || !a.Authoritative || !slices.Equal(got, want) {
			t.Errorf("%s: %v %q, want %q", name, a.MsgHdr, got, want)
		}
		if a := ask(t, s, query(name, dns.TypeA), maxUDP); a.Rcode != dns.RcodeSuccess || len(a.Answer) != 0 {
			t.Errorf("%s: %v", name, a)
		}
	}
	for _, name := range []string{
		"9.0.0.10.in-addr.arpa.", "0.0.10.in-addr.arpa.", "01.0.0.10.in-addr.arpa.", "in-addr.arpa.", "x.ip6.arpa.",
		"1.1.0.0.10.in-addr.arpa.", `\000.0.0.10.in-addr.arpa.`,
	} {
		if a := ask(t, s, query(name, dns.TypePTR), maxUDP); a.Rcode != dns.RcodeRefused {
			t.Errorf("%s: %v", name, a)
		}
	}
	for _, text := range []string{"10.0.0.1", "2001:db8::1", "::", "255.255.255.255"} {
		addr := netip.MustParseAddr(text)
		name, err := dns.ReverseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := reversed(name); !ok || got != addr {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A service with the protocol's name has another label, as its PTR records show.
func TestServiceNamedAsProtocol(t *testing.T) {
	s := newServer(
		t,
		newFake(discovery.Instance{Service: "_tcp", ID: "a", Addresses: []string{"10.0.0.1:1"}}),
		Options{},
	)
	l, ok := Label("_tcp")
	if !ok || l == "_tcp" {
		t.Fatalf("%q", l)
	}
	if got := data(ask(t, s, query(l, dns.TypeA), maxUDP).Answer); !slices.Equal(got, []string{"A 10.0.0.1"}) {
		t.Errorf("%q", got)
	}
}

// This machine and the named networks may ask.
func TestAllow(t *testing.T) {
	s := newServer(
		t,
		newFake(),
		Options{Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}},
	)
	for from, want := range map[string]bool{
		"127.0.0.1:53": true, "[::1]:53": true, "10.1.2.3:53": true, "[::ffff:10.1.2.3]:53": true,
		"[2001:db8::1%eth0]:53": true, "10.2.0.1:53": false, "[2001:db9::1]:53": false,
	} {
		if got := s.allows(netip.MustParseAddrPort(from)); got != want {
			t.Errorf("%s: %v", from, got)
		}
	}
}
