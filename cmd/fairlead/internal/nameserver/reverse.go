package nameserver

// From an address to names: RFC 1035, section 3.5, and RFC 3596, section 2.5. Only followed
// services have names here.

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// maxNames bounds the names of an address in an answer.
const maxNames = 16

// reverse answers a query about an address that a followed service has. It reports false for other
// addresses: for those we are not responsible.
func (s *Server) reverse(r *request, q dns.Question) bool {
	addr, ok := reversed(q.Name)
	if !ok {
		return false
	}
	var names []string
	for _, service := range s.services.at(addr) {
		if l, ok := Label(service); ok {
			names = append(names, addressLabel(addr)+"."+l+"."+s.domain)
		}
	}
	if len(names) == 0 {
		return false
	}
	r.reply.Authoritative = true
	if q.Qtype == dns.TypePTR || q.Qtype == dns.TypeANY {
		slices.Sort(names) // so that equal queries get equal answers
		h := s.header(r.name)
		h.Rrtype = dns.TypePTR
		for _, name := range names[:min(len(names), maxNames)] {
			r.reply.Answer = append(r.reply.Answer, &dns.PTR{Hdr: h, Ptr: name})
		}
	}
	return true
}

// at returns the services with an instance at an address.
func (s *services) at(addr netip.Addr) (names []string) {
	s.mu.Lock()
	all := make(map[string]*followed, len(s.byName))
	for name, f := range s.byName {
		all[name] = f
	}
	s.mu.Unlock()
	for name, f := range all {
		if x := f.index(); x != nil {
			if _, ok := x.addrs()[addr]; ok {
				names = append(names, name)
			}
		}
	}
	return names
}

// reversed returns the address that a name below in-addr.arpa or ip6.arpa stands for.
func reversed(name string) (netip.Addr, bool) {
	name = strings.TrimSuffix(lower(name), ".")
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(rest, ".")
		slices.Reverse(parts)
		a, err := netip.ParseAddr(strings.Join(parts, "."))
		return a, err == nil && a.Is4()
	}
	rest, ok := strings.CutSuffix(name, ".ip6.arpa")
	digits := strings.Split(rest, ".")
	if !ok || len(digits) != 32 {
		return netip.Addr{}, false
	}
	slices.Reverse(digits)
	var b strings.Builder
	for i, d := range digits {
		if len(d) != 1 {
			return netip.Addr{}, false
		}
		if i > 0 && i%4 == 0 {
			b.WriteByte(':')
		}
		b.WriteString(d)
	}
	a, err := netip.ParseAddr(b.String())
	return a, err == nil
}
