package nameserver

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/fairlead-go/fairlead/discovery"
)

func TestAnswers(t *testing.T) {
	s := newServer(t, newFake(orders()...), Options{})
	for _, test := range []struct {
		name  string
		qtype uint16
		want  []string
	}{
		{"orders", dns.TypeA, []string{"A 10.0.0.1", "A 10.0.0.2"}},
		{"orders", dns.TypeAAAA, []string{"AAAA 2001:db8::1"}},
		{"orders", dns.TypeSRV, []string{
			"SRV 0 10 443 c.example.com.", "SRV 0 10 80 ip-10-0-0-2.orders.test.local.",
			"SRV 0 3 8080 ip-10-0-0-1.orders.test.local.", "SRV 1 10 81 ip-2001-db8-0-0-0-0-0-1.orders.test.local.",
		}},
		{"orders", dns.TypeANY, []string{`HINFO "RFC8482" ""`}},
		{"v1.orders", dns.TypeA, []string{"A 10.0.0.1"}},
		{"V1.orders", dns.TypeSRV, []string{
			"SRV 0 10 443 c.example.com.", "SRV 0 3 8080 ip-10-0-0-1.orders.test.local.",
		}},
		{"v1.orders", dns.TypeTXT, []string{`TXT "id=a" "version=v1" "zone=east"`, `TXT "id=c" "version=v1"`}},
		{"east.orders", dns.TypeA, []string{"A 10.0.0.1"}}, // zone of two, version of another
		{"east.orders", dns.TypeTXT, []string{
			`TXT "id=a" "version=v1" "zone=east"`, `TXT "id=e" "version=east"`, `TXT "id=f" "zone=east"`,
		}},
		{"west.orders", dns.TypeA, []string{"A 10.0.0.2"}},
		{"1.2.3.orders", dns.TypeA, []string{"A 10.0.0.2"}},
		{`1\.2\.3.orders`, dns.TypeA, []string{"A 10.0.0.2"}},
		{"x--1-2e2-2e3.orders", dns.TypeA, []string{"A 10.0.0.2"}},
		{"ip-10-0-0-1.orders", dns.TypeA, []string{"A 10.0.0.1"}},
		{"ip-2001-db8-0-0-0-0-0-1.orders", dns.TypeAAAA, []string{"AAAA 2001:db8::1"}},
		{"ip-10-0-0-1.orders", dns.TypeSRV, []string{"SRV 0 3 8080 ip-10-0-0-1.orders.test.local."}},
		{"x--orders", dns.TypeAAAA, []string{"AAAA 2001:db8::1"}},
		{`a\.b`, dns.TypeA, []string{"A 10.1.0.1"}},
		{"x--a-2eb", dns.TypeA, []string{"A 10.1.0.1"}},
		{"X---4frder-53ervice", dns.TypeA, []string{"A 10.1.0.2"}},
		{"", dns.TypeNS, []string{"NS test.local."}},
	} {
		a := ask(t, s, query(test.name, test.qtype), dns.MaxMsgSize)
		if got := data(a.Answer); a.Rcode != dns.RcodeSuccess || !a.Authoritative || !slices.Equal(got, test.want) {
			t.Errorf("%s %s: %v %q, want %q", test.name, dns.TypeToString[test.qtype], a.MsgHdr, got, test.want)
		}
		for _, rr := range a.Answer {
			if h := rr.Header(); h.Ttl != 5 || h.Class != dns.ClassINET || h.Name != a.Question[0].Name {
				t.Errorf("%s: %v", test.name, rr)
			}
		}
	}
}

// Targets resolve, and their addresses are in the answer.
func TestTargets(t *testing.T) {
	s := newServer(t, newFake(orders()...), Options{})
	a := ask(t, s, query("orders", dns.TypeSRV), dns.MaxMsgSize)
	if want := []string{"A 10.0.0.1", "A 10.0.0.2", "AAAA 2001:db8::1"}; !slices.Equal(data(a.Extra), want) {
		t.Errorf("additional %q, want %q", data(a.Extra), want)
	}
	for _, rr := range a.Extra {
		b := ask(t, s, query(rr.Header().Name, rr.Header().Rrtype), dns.MaxMsgSize)
		if len(b.Answer) != 1 || !dns.IsDuplicate(b.Answer[0], rr) {
			t.Errorf("%v, asked for: %v", rr, b.Answer)
		}
	}
}

func TestNegative(t *testing.T) {
	s := newServer(t, newFake(orders()...), Options{})
	const noError, noName = dns.RcodeSuccess, dns.RcodeNameError
	for _, test := range []struct {
		name  string
		qtype uint16
		rcode int
	}{
		{"nosuch", dns.TypeA, noName}, {"v1.nosuch", dns.TypeA, noName}, {"v9.orders", dns.TypeA, noName},
		{"nosuch", dns.TypeANY, noName},
		{"orders", dns.TypeMX, noError}, {"orders", dns.TypeHTTPS, noError}, {"orders", dns.TypeSOA, noError},
		{"v1.orders", dns.TypeAAAA, noError},
		{"gone", dns.TypeA, noError}, {"gone", dns.TypeTXT, noError}, {"v0.orders", dns.TypeSRV, noError},
		{"north.orders", dns.TypeA, noError},
		// not its preferred one
		{"ip-10-0-0-3.gone", dns.TypeA, noError}, {"ip-10-0-0-4.orders", dns.TypeA, noName},
		{"ip-10-0-0-9.orders", dns.TypeA, noName},
		{"ip-10-0-0-01.orders", dns.TypeA, noName}, {"ip-10-0-0-1.orders", dns.TypeAAAA, noError},
		{"3.orders", dns.TypeA, noError}, {"2.3.orders", dns.TypeA, noError}, {"2.orders", dns.TypeA, noName},
		{"4.1.2.3.orders", dns.TypeA, noName},
		{"orderservice", dns.TypeA, noName}, {"a.b", dns.TypeA, noName}, {"x--", dns.TypeA, noName},
		{"x--.orders", dns.TypeA, noName}, {"x---4.orders", dns.TypeA, noName},
		{`a\ b`, dns.TypeA, noName}, {`\000`, dns.TypeA, noName}, {`\255\254`, dns.TypeA, noName},
		{strings.Repeat("a", 63), dns.TypeA, noName},
		{"", dns.TypeA, noError}, {"", dns.TypeTXT, noError},
	} {
		a := ask(t, s, query(test.name, test.qtype), maxUDP)
		if a.Rcode != test.rcode || !a.Authoritative || len(a.Answer) != 0 || len(a.Ns) != 1 {
			t.Errorf("%s %s: %v", test.name, dns.TypeToString[test.qtype], a)
			continue
		}
		if soa, ok := a.Ns[0].(*dns.SOA); !ok || soa.Hdr.Name != "test.local." || soa.Hdr.Ttl != 5 || soa.Minttl != 5 {
			t.Errorf("%s: authority %v", test.name, a.Ns[0])
		}
	}
	if a := ask(t, s, query("", dns.TypeSOA), maxUDP); len(a.Answer) != 1 ||
		a.Answer[0].Header().Rrtype != dns.TypeSOA {
		t.Errorf("SOA: %v", a)
	}
}

func TestCaseOfTheQuestion(t *testing.T) {
	s := newServer(t, newFake(orders()...), Options{})
	const name = "wEsT.oRdErS.TeSt.LoCaL."
	a := ask(t, s, query(name, dns.TypeSRV), maxUDP)
	if a.Question[0].Name != name || len(a.Answer) == 0 || a.Answer[0].Header().Name != name {
		t.Errorf("%v", a)
	}
}

func TestRotation(t *testing.T) {
	source := newFake()
	var list []*discovery.Instance
	for i := range 3 {
		list = append(list,
			&discovery.Instance{Service: "s", ID: fmt.Sprint(i), Addresses: []string{fmt.Sprintf("10.0.0.%d:80", i)}})
	}
	source.set("s", list...)
	s := newServer(t, source, Options{})
	for from := range 3 {
		s.rand = func(n int) int { return from % n }
		a := ask(t, s, query("s", dns.TypeA), maxUDP)
		for i, rr := range a.Answer {
			if got, want := rr.(*dns.A).A.String(), fmt.Sprintf("10.0.0.%d", (from+i)%3); got != want {
				t.Errorf("from %d, %d: %s, want %s", from, i, got, want)
			}
		}
	}
}

// Many instances are truncated over UDP, and over TCP as many come as fit.
func TestManyInstancesAreTruncated(t *testing.T) {
	source := newFake()
	var list []*discovery.Instance
	for i := range 6000 {
		in := &discovery.Instance{
			Service:   "s",
			ID:        fmt.Sprint(i),
			Addresses: []string{fmt.Sprintf("10.0.%d.%d:80", i/250, i%250)},
		}
		if i < 40 {
			in.Version = "some"
		}
		if i < 24 {
			in.Zone = "few"
		}
		list = append(list, in)
	}
	list[0].Metadata = map[string]string{"a": strings.Repeat("x", 60000), "b": "y"}
	source.set("s", list...)
	s := newServer(t, source, Options{})
	for _, qtype := range []uint16{dns.TypeA, dns.TypeSRV, dns.TypeTXT} {
		for _, size := range []uint16{0, 100, 512, 1232, 4096, 65535} {
			q := query("s", qtype)
			limit := 512
			if size > 0 {
				q.SetEdns0(size, false)
				limit = min(max(512, int(size)), maxUDP)
			}
			a := ask(t, s, q, maxUDP)
			if !a.Truncated || a.Len() > limit || len(a.Answer) == 0 || (a.IsEdns0() != nil) != (size > 0) {
				t.Errorf(
					"%s, %d: %v, %d bytes, %d answers",
					dns.TypeToString[qtype],
					size,
					a.MsgHdr,
					a.Len(),
					len(a.Answer),
				)
			}
		}
		if a := ask(t, s, query("s", qtype), dns.MaxMsgSize); a.Truncated || len(a.Answer) < 400 {
			t.Errorf("%s over TCP: %v, %d answers", dns.TypeToString[qtype], a.MsgHdr, len(a.Answer))
		}
	}
	// All of them with EDNS0, the first without.
	if a := ask(t, s, query("some.s", dns.TypeA), maxUDP); !a.Truncated || len(a.Answer) >= 40 {
		t.Errorf("%v", a.MsgHdr)
	}
	if a := ask(t, s, query("some.s", dns.TypeA).SetEdns0(1232, false), maxUDP); a.Truncated || len(a.Answer) != 40 {
		t.Errorf("%v", a.MsgHdr)
	}
	// Additional records that do not fit need no second query.
	if a := ask(t, s, query("few.s", dns.TypeSRV).SetEdns0(1232, false), maxUDP); a.Truncated || len(a.Answer) != 24 ||
		len(a.Extra) < 2 ||
		len(a.Extra) > 24 ||
		a.Len() > 1232 {
		t.Errorf("%v: %d answers, %d additional", a.MsgHdr, len(a.Answer), len(a.Extra))
	}
	// Metadata that do not fit are left out; later ones that fit are not.
	a := ask(t, s, query("ip-10-0-0-0.s", dns.TypeTXT), maxUDP)
	if !slices.Equal(data(a.Answer), []string{`TXT "id=0" "version=some" "zone=few" "b=y"`}) {
		t.Errorf("%q", data(a.Answer))
	}
}

func TestStale(t *testing.T) {
	source := newFake(orders()...)
	s := newServer(t, source, Options{})
	source.setAway(true)
	a := ask(t, s, query("orders", dns.TypeA).SetEdns0(1232, false), maxUDP)
	if len(a.Answer) != 2 || extended(a) != dns.ExtendedErrorCodeStaleAnswer {
		t.Errorf("%v", a)
	}
	source.empty = false
	a = ask(t, s, query("unknown", dns.TypeA).SetEdns0(1232, false), maxUDP)
	if a.Rcode != dns.RcodeServerFailure || a.Authoritative ||
		extended(a) != dns.ExtendedErrorCodeNoReachableAuthority ||
		len(a.Ns) != 0 {
		t.Errorf("%v", a)
	}
}

// extended returns the extended error of an answer.
func extended(a *dns.Msg) uint16 {
	if opt := a.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				return e.InfoCode
			}
		}
	}
	return 9999
}
