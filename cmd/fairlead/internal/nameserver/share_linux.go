package nameserver

import (
	"context"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// share opens further sockets at the address of one, so that as many goroutines can read at the
// same time: those that read from one socket wait for each other. The system chooses the socket of
// a query by its sender's address and port. What cannot be opened is left out.
//
// The first socket was opened like any other, so that a second server at its address is refused.
func share(first *net.UDPConn, many int) []*net.UDPConn {
	all := []*net.UDPConn{first}
	raw, err := first.SyscallConn()
	if err != nil || reusePort("", "", raw) != nil {
		return all
	}
	l := net.ListenConfig{Control: reusePort}
	for len(all) < many {
		conn, err := l.ListenPacket(context.Background(), "udp", first.LocalAddr().String())
		if err != nil {
			break
		}
		all = append(all, conn.(*net.UDPConn))
	}
	return all
}

func reusePort(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	if err != nil {
		return err
	}
	return failed
}
