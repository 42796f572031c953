package nameserver

import (
	"bytes"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// port is a socket for UDP as one goroutine uses it, without garbage.
//
// If the server listens on all addresses, each answer has to come from the address that got the
// query: the system gives it with the query, and gets it with the answer.
type port struct {
	conn     *net.UDPConn
	all      bool // the socket is at all addresses
	control  []byte
	at, from []byte // what the system gave last, and what it gets then
}

// newPort begins to use a socket.
func newPort(conn *net.UDPConn) *port {
	p := &port{conn: conn, all: conn.LocalAddr().(*net.UDPAddr).IP.IsUnspecified()}
	if p.all {
		// Which of the two works depends on the socket; on some systems neither does.
		_ = ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
		_ = ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
		p.control = make([]byte, max(len(ipv4.NewControlMessage(ipv4.FlagDst|ipv4.FlagInterface)),
			len(ipv6.NewControlMessage(ipv6.FlagDst|ipv6.FlagInterface))))
	}
	return p
}

// read reads a packet. It returns who sent it, and what write needs to answer from the same
// address, which is never changed.
func (p *port) read(buf []byte) (n int, from netip.AddrPort, source []byte, err error) {
	if !p.all {
		n, from, err = p.conn.ReadFromUDPAddrPort(buf)
		return n, from, nil, err
	}
	n, size, _, from, err := p.conn.ReadMsgUDPAddrPort(buf, p.control)
	if err != nil {
		return n, from, nil, err
	}
	if got := p.control[:size]; !bytes.Equal(got, p.at) || p.at == nil {
		p.at, p.from = bytes.Clone(got), sourceOf(got)
	}
	return n, from, p.from, nil
}

// write sends a packet; it may be called from other goroutines.
func (p *port) write(packet []byte, to netip.AddrPort, source []byte) error {
	if !p.all {
		_, err := p.conn.WriteToUDPAddrPort(packet, to)
		return err
	}
	_, _, err := p.conn.WriteMsgUDPAddrPort(packet, source, to)
	return err
}

// sourceOf returns the control message that sends from the address that a received one names; nil
// if it names none.
func sourceOf(control []byte) []byte {
	var dst net.IP
	if c := new(ipv6.ControlMessage); c.Parse(control) == nil && c.Dst != nil {
		dst = c.Dst
	} else if c := new(ipv4.ControlMessage); c.Parse(control) == nil {
		dst = c.Dst
	}
	switch {
	case dst == nil:
		return nil
	case dst.To4() == nil:
		return (&ipv6.ControlMessage{Src: dst}).Marshal()
	default: // that of IPv6 has no place for such an address
		return (&ipv4.ControlMessage{Src: dst}).Marshal()
	}
}
