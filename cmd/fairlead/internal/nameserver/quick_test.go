package nameserver

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// compareQuick fails the test if quick answers a query otherwise than begin and finish, and reports
// whether it answers it.
func compareQuick(t testing.TB, s *Server, packet []byte) bool {
	t.Helper()
	now := time.Now()
	got, ok := s.quick(nil, packet, new(asked), now)
	if !ok {
		return false
	}
	r := s.begin(packet, maxUDP)
	if r == nil {
		t.Errorf("quick answers %x with %x", packet, got)
		return true
	}
	if a, b := plainly(t, got, now), plainly(t, s.finish(r), now); !slices.Equal(a, b) {
		t.Errorf("quick answers\n%q, the others\n%q to %x", a, b, packet)
	}
	return true
}

// plainly returns all that a message says, which was written after a time.
func plainly(t testing.TB, packet []byte, after time.Time) []string {
	t.Helper()
	var m dns.Msg
	if err := m.Unpack(packet); err != nil {
		t.Fatalf("%v in %x", err, packet)
	}
	list := []string{fmt.Sprint(m.MsgHdr, m.Question)}
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		list = append(list, "--")
		for _, rr := range section {
			if soa, ok := rr.(*dns.SOA); ok {
				// It is the time, which goes on between two answers.
				if soa.Serial-serial(after) <= uint32(patience/time.Second) {
					soa.Serial = 0
				}
			}
			list = append(list, rr.String())
		}
	}
	return list
}

// The common queries are answered by quick, without garbage, once their service is followed.
func TestQuick(t *testing.T) {
	instances := append(orders(), tagged()...)
	source := newFake(instances...)
	for _, away := range []bool{false, true} {
		s := newServer(t, source, Options{})
		for _, test := range []struct {
			name  string
			qtype uint16
			want  bool
		}{
			{"orders", dns.TypeA, true}, {"orders", dns.TypeAAAA, true}, {"orders", dns.TypeSRV, true},
			{"v1.orders", dns.TypeA, true}, {"1.2.3.ORDERS", dns.TypeSRV, true}, {"v9.orders", dns.TypeA, true},
			{"_Orders._TCP", dns.TypeSRV, true}, {"_hosts._tcp", dns.TypeSRV, true}, {"hosts", dns.TypeSRV, true},
			{"X---4frder-53ervice", dns.TypeA, true}, {"_x---4frder-53ervice._tcp", dns.TypeSRV, true},
			{"x--a-20b.orders", dns.TypeA, true}, {`a\ b.orders`, dns.TypeA, true}, {"x---50rimary.orders", dns.TypeA, true},
			{`1\.2.3.orders`, dns.TypeA, true}, {"V9.Orders.Test.local.", dns.TypeA, true},
			{"mixed", dns.TypeA, true}, {"gone", dns.TypeA, true}, {"nosuch", dns.TypeAAAA, true},
			{"1.a.b", dns.TypeAAAA, true}, {`a\.b`, dns.TypeA, true}, {`\255.orders`, dns.TypeA, true}, {`\000`, dns.TypeA, false},
			{"orders", dns.TypeTXT, false}, {"hosts", dns.TypeA, false}, {"_orders._tcp", dns.TypeA, false},
			{"v1._orders._tcp", dns.TypeSRV, false}, {"ip-10-0-0-1.orders", dns.TypeA, false}, {"", dns.TypeA, false},
			{"x---69p-2d10-2d0-2d0-2d1.orders", dns.TypeA, false}, {"x--.orders", dns.TypeA, false},
			{"x--.", dns.TypeA, false}, {"_tcp", dns.TypeSRV, false}, {"_._tcp", dns.TypeSRV, false},
		} {
			source.setAway(false)
			q := query(test.name, test.qtype)
			ask(t, s, q, maxUDP) // follows the service
			source.setAway(away)
			for _, change := range []func(){
				func() { q.CheckingDisabled = true },
				func() { q.RecursionDesired = false; q.AuthenticatedData = true },
				func() { q.SetEdns0(1232, false) },
				func() { q.Extra = nil; q.SetEdns0(100, true) },
				func() { q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Cookie: "0123456789abcdef"}} },
			} {
				change()
				packet, err := q.Pack()
				if err != nil {
					t.Fatal(err)
				}
				if got := compareQuick(t, s, packet); got != test.want {
					t.Errorf("%s %s: %v", test.name, dns.TypeToString[test.qtype], got)
				}
				var room asked
				out := make([]byte, 0, maxUDP)
				if n := testing.AllocsPerRun(10, func() { s.quick(out, packet, &room, time.Now()) }); n > 0 {
					t.Errorf("%s %s: %v allocations", test.name, dns.TypeToString[test.qtype], n)
				}
			}
		}
	}
}

// What is rare in a packet is left to the others.
func TestQuickLeaves(t *testing.T) {
	s := newServer(t, newFake(orders()...), Options{})
	ask(t, s, query("orders", dns.TypeA), maxUDP)
	good, err := query("orders", dns.TypeA).SetEdns0(1232, false).Pack()
	if err != nil {
		t.Fatal(err)
	}
	if !compareQuick(t, s, good) {
		t.Fatal("it does not answer a common query")
	}
	try := func(packet []byte) {
		t.Helper()
		if compareQuick(t, s, packet) {
			t.Errorf("it answers %x", packet)
		}
	}
	for n := range good {
		try(good[:n])
	}
	try(append(slices.Clone(good), 0))
	for _, change := range []struct {
		at int
		to byte
	}{
		{2, 0x81}, {2, 0x29}, {4, 1}, {5, 2}, {7, 1}, {9, 1}, {11, 2}, {12, 0xc0}, {12, 64}, {12, 0},
		{len(good) - 1, 1}, {len(good) - 5, 1}, {len(good) - 4, 1}, // another version of EDNS0, options
		{len(good) - optSize - 1, 3}, // another class
	} {
		packet := slices.Clone(good)
		packet[change.at] = change.to
		try(packet)
	}
	for _, o := range []dns.EDNS0{
		&dns.EDNS0_NSID{Code: dns.EDNS0NSID}, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte{1}},
	} {
		q := query("orders", dns.TypeA).SetEdns0(1232, false)
		q.IsEdns0().Option = []dns.EDNS0{o}
		packet, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		try(packet)
	}
	s = newServer(t, newFake(orders()...), Options{})
	unknown, err := query("orders", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	try(unknown) // not followed yet
}

func BenchmarkQuick(b *testing.B) {
	s := newServer(b, newFake(orders()...), Options{})
	packet, err := query("orders", dns.TypeSRV).SetEdns0(1232, false).Pack()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.services.get("orders", time.Now()); err != nil {
		b.Fatal(err)
	}
	var q asked
	out := make([]byte, 0, maxUDP)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.quick(out, packet, &q, time.Now()); !ok {
			b.Fatal("left")
		}
	}
}
