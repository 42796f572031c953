package nameserver

import (
	"testing"

	"github.com/miekg/dns"
)

func TestRefusals(t *testing.T) {
	s := newServer(t, newFake(orders()...), Options{})
	with := func(q *dns.Msg, change func(*dns.Msg)) *dns.Msg { change(q); return q }
	version1 := query("orders", dns.TypeA).SetEdns0(1232, false)
	version1.IsEdns0().SetVersion(1)
	for what, test := range map[string]struct {
		q     *dns.Msg
		rcode int
	}{
		"another domain":   {query("example.com.", dns.TypeA), dns.RcodeRefused},
		"the root":         {query(".", dns.TypeNS), dns.RcodeRefused},
		"the domain's own": {query("local.", dns.TypeSOA), dns.RcodeRefused},
		"a similar domain": {query("orders.xtest.local.", dns.TypeA), dns.RcodeRefused},
		"a transfer":       {query("", dns.TypeAXFR), dns.RcodeRefused},
		"another class": {with(query("orders", dns.TypeTXT),
			func(q *dns.Msg) { q.Question[0].Qclass = dns.ClassCHAOS }), dns.RcodeRefused},
		"an update":      {new(dns.Msg).SetUpdate("test.local."), dns.RcodeNotImplemented},
		"a notification": {new(dns.Msg).SetNotify("test.local."), dns.RcodeNotImplemented},
		"two questions": {with(query("orders", dns.TypeA),
			func(q *dns.Msg) { q.Question = append(q.Question, q.Question[0]) }), dns.RcodeFormatError},
		"no question": {
			with(query("orders", dns.TypeA), func(q *dns.Msg) { q.Question = nil }), dns.RcodeFormatError,
		},
		"two EDNS0 records": {with(query("orders", dns.TypeA).SetEdns0(1232, false),
			func(q *dns.Msg) { q.Extra = append(q.Extra, q.Extra[0]) }), dns.RcodeFormatError},
		"a version of EDNS0": {version1, dns.RcodeBadVers},
	} {
		if a := ask(t, s, test.q, maxUDP); a.Rcode != test.rcode || a.Authoritative || len(a.Answer)+len(a.Ns) != 0 {
			t.Errorf("%s: %v", what, a)
		}
	}
}

func TestEDNS(t *testing.T) {
	s := newServer(t, newFake(orders()...), Options{})
	if a := ask(t, s, query("orders", dns.TypeSRV), maxUDP); a.IsEdns0() != nil {
		t.Errorf("unasked for: %v", a)
	}
	a := ask(t, s, query("orders", dns.TypeSRV).SetEdns0(1232, true), maxUDP)
	if opt := a.IsEdns0(); opt == nil || !opt.Do() || opt.Version() != 0 || int(opt.UDPSize()) != maxQuery {
		t.Errorf("%v", a)
	}
}

// A packet that is no query gets FORMERR if it has a header, and nothing if it has none, or is an
// answer.
func TestMalformed(t *testing.T) {
	s := newServer(t, newFake(orders()...), Options{})
	good, err := query("orders", dns.TypeA).SetEdns0(1232, false).Pack()
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		r := s.begin(good[:n], maxUDP)
		if (r == nil) != (n < 12) {
			t.Errorf("%d bytes: %v", n, r)
		}
		if r == nil {
			continue
		}
		a := new(dns.Msg)
		if err := a.Unpack(s.finish(r)); err != nil || a.Rcode != dns.RcodeFormatError ||
			a.Id != uint16(good[0])<<8|uint16(good[1]) ||
			!a.RecursionDesired {
			t.Errorf("%d bytes: %v, %v", n, err, a)
		}
	}
	answer := append([]byte(nil), good...)
	answer[2] |= 0x80
	if r := s.begin(answer, maxUDP); r != nil {
		t.Errorf("an answer is answered: %v", r.reply)
	}
	for what, tail := range map[string]string{
		"a pointer to itself": "\xc0\x0c\x00\x01\x00\x01", "a long label": "\x40aaaaaaaa\x00\x00\x01\x00\x01",
		"a pointer beyond the end": "\xff\xff\x00\x01\x00\x01",
	} {
		packet := append([]byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"), tail...)
		if r := s.begin(packet, maxUDP); r == nil || r.reply.Rcode != dns.RcodeFormatError {
			t.Errorf("%s: %v", what, r)
		}
	}
}

func FuzzPacket(f *testing.F) {
	for _, q := range []*dns.Msg{
		query("orders", dns.TypeA), query("v1.orders", dns.TypeSRV).SetEdns0(1232, true),
		query(`x---4f\.\000.a\.b`, dns.TypeTXT), query("", dns.TypeANY),
	} {
		packet, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
	}
	s := newServer(f, newFake(orders()...), Options{Services: 100})
	f.Fuzz(func(t *testing.T, packet []byte) {
		r := s.begin(packet, maxUDP)
		if r == nil {
			return
		}
		out := s.finish(r)
		if len(out) < 12 || len(out) > maxUDP || out[0] != packet[0] || out[1] != packet[1] || out[2]&0x80 == 0 {
			t.Errorf("answer %x to %x", out, packet)
		}
		compareQuick(t, s, packet)
	})
}
