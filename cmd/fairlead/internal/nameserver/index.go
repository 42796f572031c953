package nameserver

// An index is a view in the form that DNS needs. Building one goes through all instances, so that a
// query need not: it finds its set by name and takes as many of its records as fit.

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"github.com/fairlead-go/fairlead/discovery"
)

// endpoint is an address of an instance, as DNS shows it.
type endpoint struct {
	in    *discovery.Instance
	addr  netip.Addr // if it is not valid, host is the address
	host  string     // fully qualified
	port  uint16     // 0 if it is not a number: then there is no SRV record
	first bool       // the instance's preferred address, of any kind
}

// set is the instances behind a name, without draining ones. The sets of an instance share its
// endpoints.
type set struct {
	v4, v6 []*endpoint // each address once: RFC 2181, section 5
	srv    []*endpoint // each target and port once
	txt    []*discovery.Instance
	hosts  []string // each once
}

// clip gives back unused capacity, which would be kept as long as the view.
func (s *set) clip() {
	s.v4, s.v6, s.srv = slices.Clone(s.v4), slices.Clone(s.v6), slices.Clone(s.srv)
	s.txt, s.hosts = slices.Clone(s.txt), slices.Clone(s.hosts)
}

type index struct {
	some  bool // there are instances, even if all drain
	all   set
	named map[string]*set // by version, zone and tag, and by the names that lie between their labels
	eps   []*endpoint     // of all instances, draining ones too

	addrs func() map[netip.Addr]struct{} // of eps; made at the first use
}

func newIndex(v View) *index {
	x := &index{named: make(map[string]*set)}
	b := builder{}
	for in := range v.All() {
		x.some = true
		sets := []*set{&x.all}
		if in.Version != "" {
			sets = append(sets, x.at(lower(in.Version)))
		}
		for _, selector := range append([]string{in.Zone}, in.Tags...) {
			if selector == "" {
				continue
			}
			if s := x.at(lower(selector)); !slices.Contains(sets, s) {
				sets = append(sets, s)
			}
		}
		eps := endpoints(in)
		x.eps = append(x.eps, eps...)
		if in.IsDraining() {
			continue
		}
		for _, s := range sets {
			s.txt = append(s.txt, in)
			for _, e := range eps {
				b.add(s, e)
			}
		}
	}
	x.all.clip()
	for _, s := range x.named {
		s.clip()
	}
	x.eps = slices.Clone(x.eps)
	x.addrs = sync.OnceValue(func() map[netip.Addr]struct{} {
		all := make(map[netip.Addr]struct{}, len(x.eps))
		for _, e := range x.eps {
			if e.addr.IsValid() {
				all[e.addr] = struct{}{}
			}
		}
		return all
	})
	return x
}

// at returns the set of a selector, and makes it if there is none. With 1.2.3 the names 2.3 and 3
// come to exist too, without data: RFC 8020, section 2, and RFC 4592, section 2.2.2.
func (x *index) at(selector string) *set {
	s := x.named[selector]
	if s == nil {
		s = new(set)
		x.named[selector] = s
	}
	for rest := selector; ; {
		_, after, ok := strings.Cut(rest, ".")
		if !ok {
			return s
		}
		if rest = after; rest != "" && x.named[rest] == nil {
			x.named[rest] = new(set)
		}
	}
}

// find returns the set of a selector, "" for all instances; nil if there is no such name.
func (x *index) find(selector string) *set {
	if !x.some {
		return nil
	}
	if selector == "" {
		return &x.all
	}
	if addr, ok := labelAddress(selector); ok {
		if s := x.atAddress(addr); s != nil { // it comes first: SRV records have this name as their target
			return s
		}
	}
	return x.named[selector]
}

// atAddress returns the set of an address; nil if no instance has it. Such queries are rare, since
// the addresses come along with the SRV records.
func (x *index) atAddress(addr netip.Addr) *set {
	var s *set
	b := builder{}
	for _, e := range x.eps {
		if e.addr != addr {
			continue
		}
		if s == nil {
			s = new(set)
		}
		if !e.in.IsDraining() {
			s.txt = append(s.txt, e.in)
			b.add(s, e)
		}
	}
	return s
}

// builder remembers what has been added to sets.
type builder map[added]struct{}

type added struct {
	to   *set
	addr netip.Addr
	host string
	port uint16
}

func (b builder) once(a added) bool {
	_, ok := b[a]
	b[a] = struct{}{}
	return !ok
}

func (b builder) add(s *set, e *endpoint) {
	if e.addr.IsValid() && b.once(added{to: s, addr: e.addr}) {
		if e.addr.Is4() {
			s.v4 = append(s.v4, e)
		} else {
			s.v6 = append(s.v6, e)
		}
	}
	if e.host != "" && b.once(added{to: s, host: e.host}) {
		s.hosts = append(s.hosts, e.host)
	}
	if e.port != 0 && b.once(added{s, e.addr, e.host, e.port}) {
		s.srv = append(s.srv, e)
	}
}

// endpoints returns the preferred address of each kind.
func endpoints(in *discovery.Instance) []*endpoint {
	var list []*endpoint
	var have [3]bool // IPv4, IPv6, host names
	for i, text := range in.Addresses {
		e, kind, ok := parse(text)
		if !ok || have[kind] {
			continue
		}
		have[kind] = true
		e.in, e.first = in, i == 0
		list = append(list, &e)
	}
	return list
}

// parse reads an address; false if DNS cannot show it.
func parse(address string) (e endpoint, kind int, ok bool) {
	hostPort, err := discovery.HostPort(address)
	if err != nil {
		return e, 0, false
	}
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return e, 0, false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		e.port = uint16(n)
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		e.addr = addr.Unmap()
		if e.addr.Is6() {
			kind = 1
		}
		return e, kind, e.addr.Zone() == "" && !e.addr.IsUnspecified()
	}
	e.host = dns.Fqdn(lower(host))
	return e, 2, isHostName(e.host)
}

// isHostName keeps names that are not host names out of our answers: RFC 1123, section 2.1, and
// "_", which is common.
func isHostName(fqdn string) bool {
	if _, ok := dns.IsDomainName(fqdn); !ok {
		return false
	}
	for i := range len(fqdn) {
		if c := fqdn[i]; !isAlnum(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return fqdn != "."
}
