package transport

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// tcpKeepAlive lets the kernel notice a vanished host on an idle connection; members with traffic
// are watched far more closely.
const tcpKeepAlive = 30 * time.Second

var dialer = net.Dialer{KeepAlive: tcpKeepAlive} // never changed

// dialPeer connects to p's endpoint. A name is looked up each time.
func dialPeer(ctx context.Context, p Peer) (net.Conn, error) {
	e := p.Endpoint()
	name := e.Name()
	switch {
	case name == "":
		return dialer.DialContext(ctx, e.Network, e.Addr)
	case e.At != "":
		p.Addresses(nil) // the name may have moved; a lookup elsewhere finds out
		return dialer.DialContext(ctx, e.Network, e.At)
	}
	found, err := LookUp(ctx, name)
	list := p.Addresses(found) // of an earlier lookup, if this one failed
	if len(list) == 0 {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(e.Addr)
	return race(ctx, list, port)
}

// LookUp returns the addresses of a name, of both families in turn (RFC 8305, section 4).
func LookUp(ctx context.Context, name string) ([]netip.Addr, error) {
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	var families [2][]netip.Addr // that of the first comes first
	for _, a := range found {
		i := 0
		if a = a.Unmap(); a.Is4() != found[0].Unmap().Is4() {
			i = 1
		}
		families[i] = append(families[i], a)
	}
	list := make([]netip.Addr, 0, len(found))
	for i := range found {
		for _, f := range families {
			if i < len(f) {
				list = append(list, f[i])
			}
		}
	}
	return list, err
}

// stagger is what RFC 8305, section 5, recommends between two attempts.
const stagger = 250 * time.Millisecond

// race connects to some addresses and returns the first connection. Each is tried when the one
// before it has failed, or has not answered for a moment.
func race(ctx context.Context, list []netip.Addr, port string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		_   [0]func() // not comparable, see balancer.conn
		c   net.Conn
		err error
	}
	results := make(chan result)
	try := func(a netip.Addr) {
		c, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(a.String(), port))
		select {
		case results <- result{c: c, err: err}:
		case <-ctx.Done():
			if c != nil {
				_ = c.Close() // another address was faster
			}
		}
	}
	var first error // the most useful one: that of the preferred address
	next := time.NewTimer(0)
	defer next.Stop()
	for begun, failed := 0, 0; ; {
		select {
		case <-next.C:
			if begun < len(list) {
				go try(list[begun])
				begun++
				next.Reset(stagger)
			}
		case r := <-results:
			if r.err == nil {
				return r.c, nil
			}
			if first == nil {
				first = r.err
			}
			if failed++; failed == len(list) {
				return nil, first
			}
			next.Reset(0)
		case <-ctx.Done():
			if first == nil {
				first = ctx.Err()
			}
			return nil, first
		}
	}
}
