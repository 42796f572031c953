//go:build !unix

package agent

import (
	"errors"
	"net"
)

func listenPrivately(string) (net.Listener, error) {
	return nil, errors.New("--socket: this system has no sockets that one user alone can use")
}
