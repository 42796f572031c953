package nameserver

// A server reads UDP with a few goroutines, and has one more for each connection over TCP, whose
// number is limited. A query about a new service waits for its first view in a goroutine of its
// own; their number is limited too, and further queries get SERVFAIL. So a flood takes processor
// time, but no memory: packets that the goroutines cannot read stay in the kernel, or are dropped
// there.

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/fairlead-go/fairlead/internal/worker"
)

const (
	// DefaultDomain is below the top-level domain that is reserved for private use. We may not
	// answer for "local": RFC 6762 reserves it for multicast DNS, and systems that support that do
	// not ask servers.
	DefaultDomain = "fairlead.internal"
	// DefaultTTL is how long clients may use an answer: long enough to spare a busy client
	// most queries, short beside the time that an instance takes to drain.
	DefaultTTL = 5 * time.Second
	// DefaultServices is how many services are followed at most.
	DefaultServices = 1000

	// maxDomain leaves room for the longest service and address before it: 255 bytes in all,
	// RFC 1035, section 2.3.4.
	maxDomain = 255 - 1 - (maxLabel + 1) - (len(atAddress) + 39 + 1)
	// maxWaiting and maxConns bound goroutines of a few kB each.
	maxWaiting = 256
	maxConns   = 256
	sweepEvery = 30 * time.Second
	// lookEvery is short beside the time that a drain waits, and each look costs a read of memory
	// for each service.
	lookEvery = 500 * time.Millisecond
)

// Options change a Server.
type Options struct {
	Domain   string        // DefaultDomain if empty
	TTL      time.Duration // whole seconds
	Services int           // how many are followed at most; DefaultServices if 0
	// Allow are the networks that may ask, besides this machine; empty: everybody.
	Allow []netip.Prefix
}

// Server answers DNS queries. Make one with New, then call Listen and Serve once each.
type Server struct {
	domain   string // fully qualified, in lower case
	labels   int    // of domain
	wire     []byte // domain as messages have it; nil: no query is answered by quick
	ttl      uint32 // seconds
	allow    []netip.Prefix
	services *services
	rand     func(n int) int
	self     netip.Addr // the address it listens on; not valid: all of them

	udp     []*net.UDPConn // at one address
	tcp     *net.TCPListener
	group   *worker.Group
	waiting chan struct{} // a token for each query that waits
	conns   chan struct{} // a token for each connection
	quiet   quiet
}

// New makes a Server.
func New(source Source, o Options) (*Server, error) {
	if o.Domain == "" {
		o.Domain = DefaultDomain
	}
	if o.Services == 0 {
		o.Services = DefaultServices
	}
	domain := dns.Fqdn(lower(o.Domain))
	if !isHostName(domain) || strings.HasPrefix(domain, ".") || len(domain) > maxDomain {
		return nil, fmt.Errorf("the domain %q is not a domain name of at most %d bytes", o.Domain, maxDomain)
	}
	if o.TTL < 0 || o.TTL > time.Hour || o.TTL%time.Second != 0 {
		return nil, fmt.Errorf("the TTL %v is not a number of seconds up to an hour", o.TTL)
	}
	if o.Services < 0 {
		return nil, fmt.Errorf("%d services cannot be followed", o.Services)
	}
	wire := appendWire(nil, domain)
	if dns.IsSubDomain("arpa.", domain) {
		wire = nil // names of addresses may be below it
	}
	return &Server{
		domain: domain, wire: wire, labels: dns.CountLabel(domain), ttl: uint32(o.TTL / time.Second), rand: rand.IntN,
		allow:    o.Allow,
		services: newServices(source, o.Services), waiting: make(chan struct{}, maxWaiting),
		conns: make(chan struct{}, maxConns),
	}, nil
}

// Listen opens the sockets, UDP and TCP at the same port: RFC 7766, section 5. Port 0 stands for
// any free port.
func (s *Server) Listen(address string) error {
	const tries = 10 // a port that is free for TCP may not be for UDP
	var err error
	for range tries {
		var l net.Listener
		if l, err = net.Listen("tcp", address); err != nil {
			return err
		}
		var p net.PacketConn
		if p, err = net.ListenPacket("udp", l.Addr().String()); err != nil {
			l.Close()
			if _, port, _ := net.SplitHostPort(address); port == "0" {
				continue
			}
			return err
		}
		s.tcp, s.udp = l.(*net.TCPListener), share(p.(*net.UDPConn), readers())
		break
	}
	if err != nil {
		return err
	}
	if a := s.tcp.Addr().(*net.TCPAddr).AddrPort().Addr().Unmap(); !a.IsUnspecified() {
		s.self = a.WithZone("")
	}
	return nil
}

// Domain returns the domain that the names of services end in.
func (s *Server) Domain() string { return strings.TrimSuffix(s.domain, ".") }

// Addr returns the address that the server listens on.
func (s *Server) Addr() string { return s.tcp.Addr().String() }

// Close closes the sockets of a Server that is not served.
func (s *Server) Close() {
	if s.tcp != nil {
		s.tcp.Close()
		s.closeUDP()
	}
}

func (s *Server) closeUDP() {
	for _, conn := range s.udp {
		conn.Close()
	}
}

// readers is how many goroutines read UDP.
func readers() int { return max(2, runtime.GOMAXPROCS(0)) }

// allows reports whether an address may ask.
func (s *Server) allows(from netip.AddrPort) bool {
	if len(s.allow) == 0 {
		return true
	}
	ip := from.Addr().Unmap().WithZone("")
	return ip.IsLoopback() || slices.ContainsFunc(s.allow, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// Serve answers until ctx ends; then it closes everything.
func (s *Server) Serve(ctx context.Context) {
	s.group = worker.New(ctx)
	for i := range readers() {
		s.group.Go(func(ctx context.Context) { s.serveUDP(ctx, s.udp[i%len(s.udp)]) })
	}
	s.group.Go(s.serveTCP)
	s.group.Go(s.sweep)
	<-ctx.Done()
	s.closeUDP()
	s.tcp.Close()
	s.group.Stop()
	s.services.close()
}

func (s *Server) sweep(ctx context.Context) {
	tick, look := time.NewTicker(sweepEvery), time.NewTicker(lookEvery)
	defer tick.Stop()
	defer look.Stop()
	for {
		select {
		case now := <-tick.C:
			s.services.sweep(now)
		case <-look.C:
			s.services.look()
		case <-ctx.Done():
			return
		}
	}
}

// acquire takes a token if there is one.
func acquire(tokens chan struct{}) bool {
	select {
	case tokens <- struct{}{}:
		return true
	default:
		return false
	}
}
