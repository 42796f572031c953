// Package hosts lists the names that clients use for a server on this machine.
package hosts

import (
	"net"
	"os"
)

// Of returns the names of the address that a server listens on. If it listens on all addresses of
// this machine, these are the machine's name and all its addresses. There are none for addresses
// that are not TCP.
func Of(at net.Addr) []string {
	tcp, ok := at.(*net.TCPAddr)
	if !ok {
		return nil
	}
	names := []string{tcp.IP.String()}
	if !tcp.IP.IsUnspecified() {
		return names
	}
	if name, err := os.Hostname(); err == nil {
		names = append(names, name)
	}
	addrs, _ := net.InterfaceAddrs() // without addresses, the name has to do
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			names = append(names, n.IP.String())
		}
	}
	return names
}
