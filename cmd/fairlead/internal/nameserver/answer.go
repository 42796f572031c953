package nameserver

import (
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/fairlead-go/fairlead/discovery"
)

// answer completes the reply to a query about a service.
func (s *Server) answer(r *request) {
	x := r.service.index()
	if x == nil {
		r.fail(dns.ExtendedErrorCodeNoReachableAuthority)
		return
	}
	if r.service.feed.Stale() {
		r.explain(dns.ExtendedErrorCodeStaleAnswer)
	}
	found := x.find(r.selector)
	if found == nil {
		s.negative(r, dns.RcodeNameError)
		return
	}
	qtype := r.reply.Question[0].Qtype
	if r.srvOnly && qtype != dns.TypeSRV && qtype != dns.TypeANY {
		s.negative(r, dns.RcodeSuccess)
		return
	}
	switch qtype {
	case dns.TypeA:
		take(s, r, found.v4, s.endpoint)
	case dns.TypeAAAA:
		take(s, r, found.v6, s.endpoint)
	case dns.TypeSRV:
		s.appendSRV(r, found.srv)
	case dns.TypeTXT:
		take(
			s,
			r,
			found.txt,
			func(h dns.RR_Header, in *discovery.Instance) dns.RR { return &dns.TXT{Hdr: h, Txt: texts(in)} },
		)
	case dns.TypeANY:
		s.minimal(r)
	}
	if (qtype == dns.TypeA || qtype == dns.TypeAAAA || qtype == dns.TypeCNAME) && len(found.v4)+len(found.v6) == 0 {
		s.appendCNAME(r, found.hosts)
	}
	if len(r.reply.Answer) == 0 {
		s.negative(r, dns.RcodeSuccess)
	}
}

// appendCNAME answers with one of the host names, chosen at random: a name has at most one CNAME
// (RFC 2181, section 10.1).
func (s *Server) appendCNAME(r *request, hosts []string) {
	if len(hosts) == 0 {
		return
	}
	h := s.header(r.name)
	h.Rrtype = dns.TypeCNAME
	r.reply.Answer = []dns.RR{&dns.CNAME{Hdr: h, Target: hosts[s.rand(len(hosts))]}}
}

// take answers with as many of a list as fit. It keeps the list's order but begins anywhere, so
// that clients that use the first record spread over all: RFC 1794.
func take[T any](s *Server, r *request, list []T, record func(dns.RR_Header, T) dns.RR) (taken []T) {
	if len(list) == 0 {
		return nil
	}
	from, size := s.rand(len(list)), 0
	// One more than could fit over UDP: then it shows that records are left out.
	for i := range min(len(list), r.size/leastRecord+1) {
		one := list[(from+i)%len(list)]
		rr := record(s.header(r.name), one)
		rr.Header().Rrtype = r.reply.Question[0].Qtype
		if size += dns.Len(rr); size > maxAnswer {
			break
		}
		r.reply.Answer = append(r.reply.Answer, rr)
		taken = append(taken, one)
	}
	return taken
}

// appendSRV answers with SRV records: RFC 2782. The weight is the instance's, the port its
// address's. The priority tells clients to use the instance's preferred address (0) before its
// other ones (1). The target is the address's own name, or the host name if the address is one; the
// addresses of targets are added, as many as fit.
func (s *Server) appendSRV(r *request, list []*endpoint) {
	taken := take(s, r, list, func(h dns.RR_Header, e *endpoint) dns.RR {
		rr := &dns.SRV{Hdr: h, Weight: uint16(e.in.EffectiveWeight()), Port: e.port, Target: e.host}
		if !e.first {
			rr.Priority = 1
		}
		if e.addr.IsValid() {
			rr.Target = addressLabel(e.addr) + "." + r.below
		}
		return rr
	})
	var extra []dns.RR
	seen := make(map[netip.Addr]struct{})
	size := 0
	for _, e := range taken {
		if _, ok := seen[e.addr]; ok || !e.addr.IsValid() {
			continue
		}
		seen[e.addr] = struct{}{}
		rr := s.address(s.header(addressLabel(e.addr)+"."+r.below), e.addr)
		if size += dns.Len(rr); size > maxAnswer {
			break
		}
		extra = append(extra, rr)
	}
	r.reply.Extra = append(extra, r.reply.Extra...) // the record of EDNS0 stays the last
}

func (s *Server) endpoint(h dns.RR_Header, e *endpoint) dns.RR { return s.address(h, e.addr) }

// address returns an A or AAAA record.
func (s *Server) address(h dns.RR_Header, a netip.Addr) dns.RR {
	if a.Is4() {
		h.Rrtype = dns.TypeA
		return &dns.A{Hdr: h, A: a.AsSlice()}
	}
	h.Rrtype = dns.TypeAAAA
	return &dns.AAAA{Hdr: h, AAAA: a.AsSlice()}
}

// apex answers about the domain itself.
func (s *Server) apex(r *request) {
	h := s.header(r.name)
	switch r.reply.Question[0].Qtype {
	case dns.TypeSOA:
		r.reply.Answer = []dns.RR{s.soa()}
	case dns.TypeNS:
		h.Rrtype = dns.TypeNS
		r.reply.Answer = []dns.RR{&dns.NS{Hdr: h, Ns: s.domain}}
		if s.self.IsValid() {
			r.reply.Extra = append([]dns.RR{s.address(s.header(s.domain), s.self)}, r.reply.Extra...)
		}
	case dns.TypeA, dns.TypeAAAA:
		if s.self.IsValid() && s.self.Is4() == (r.reply.Question[0].Qtype == dns.TypeA) {
			r.reply.Answer = []dns.RR{s.address(h, s.self)}
		}
	case dns.TypeANY:
		s.minimal(r)
	}
	if len(r.reply.Answer) == 0 {
		s.negative(r, dns.RcodeSuccess)
	}
}

// minimal answers ANY: RFC 8482, section 4.2.
func (s *Server) minimal(r *request) {
	h := s.header(r.name)
	h.Rrtype = dns.TypeHINFO
	r.reply.Answer = []dns.RR{&dns.HINFO{Hdr: h, Cpu: "RFC8482"}}
}

// negative answers that there is no such name, or for RcodeSuccess no such data. The SOA record
// says for how long a client may keep that answer: RFC 2308, sections 2 and 3. A name below one
// that does not exist does not exist either (RFC 8020), and a name above one that exists does.
func (s *Server) negative(r *request, rcode int) {
	r.reply.Rcode = rcode
	r.reply.Ns = []dns.RR{s.soa()}
}

const (
	hostmaster = "hostmaster"
	// These would be for servers that transfer the zone.
	soaRefresh, soaRetry, soaExpire = 3600, 600, 86400
)

// serial is the time: the zone cannot be transferred, so the serial only has to grow (RFC 1982 says
// how it does in 2106).
func serial(now time.Time) uint32 { return uint32(now.Unix()) }

// soa returns the domain's SOA record.
func (s *Server) soa() dns.RR {
	h := s.header(s.domain)
	h.Rrtype = dns.TypeSOA
	return &dns.SOA{
		Hdr: h, Ns: s.domain, Mbox: hostmaster + "." + s.domain, Serial: serial(time.Now()),
		Refresh: soaRefresh, Retry: soaRetry, Expire: soaExpire, Minttl: s.ttl, // RFC 2308, section 4
	}
}

func (s *Server) header(name string) dns.RR_Header {
	return dns.RR_Header{Name: name, Class: dns.ClassINET, Ttl: s.ttl}
}
