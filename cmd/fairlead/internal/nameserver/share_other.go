//go:build !linux

package nameserver

import "net"

// share returns the one socket: other systems do not spread queries over several.
func share(first *net.UDPConn, _ int) []*net.UDPConn { return []*net.UDPConn{first} }
