// Package hosts says by which names a server of this machine is asked for.
package hosts

import (
	"net"
	"os"
)

// Of are the names of the address that a server listens on, and if that is any address of this
// machine, the machine's name and all its addresses. It is empty for what is not TCP.
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
	addrs, _ := net.InterfaceAddrs() // then by name only
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			names = append(names, n.IP.String())
		}
	}
	return names
}
