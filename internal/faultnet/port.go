package faultnet

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// Port is a loopback TCP port held for a later listener, perhaps in another process, perhaps
// several times.
//
// The usual way to a free port is to listen on :0 and close the listener. Another process may then
// take the port before it is used, and again each time a server restarts. A Port keeps a socket
// bound to the address without listening. Others may bind and listen beside it, as long as every
// party sets SO_REUSEADDR, which Go's net package does. The kernel does not give the port to
// programs that ask for any free one. Without a listener a connection is refused, as it should be.
//
// A Port may be used by several goroutines.
type Port struct {
	addr netip.AddrPort

	mu sync.Mutex
	fd int // -1 once released; guarded by mu
}

// HoldPort reserves a free TCP port of 127.0.0.1 until Release or the end of the process.
func HoldPort() (*Port, error) {
	// Under the fork lock no child starts now that would inherit the socket and hold the port after
	// our end.
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("faultnet: hold a port: %w", err)
	}
	addr, err := bindLoopback(fd)
	if err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("faultnet: hold a port: %w", err)
	}
	return &Port{addr: addr, fd: fd}, nil
}

func bindLoopback(fd int) (netip.AddrPort, error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return netip.AddrPort{}, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return netip.AddrPort{}, err
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	in4, ok := sa.(*syscall.SockaddrInet4)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("socket address of type %T", sa)
	}
	return netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), uint16(in4.Port)), nil
}

// Addr is the held address, "127.0.0.1:port".
func (p *Port) Addr() string { return p.addr.String() }

// Listen listens on the reserved port. It fails while another listener has the port.
func (p *Port) Listen() (net.Listener, error) { return net.Listen("tcp", p.Addr()) }

// Release ends the reservation. A listener on the port goes on. Releasing twice is harmless.
func (p *Port) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fd >= 0 {
		syscall.Close(p.fd)
		p.fd = -1
	}
}
