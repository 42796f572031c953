//go:build unix

package agent

import (
	"net"
	"os"
	"path/filepath"
)

// listenPrivately opens a socket that only this user can ever connect to: the socket gets its name
// after its mode is set.
func listenPrivately(path string) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".fairlead-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	at := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // by that name, which is not the final one
	if err = os.Chmod(at, 0o600); err == nil {
		err = os.Rename(at, path)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return &namedListener{l, path}, nil
}

// namedListener removes its socket when it is closed.
type namedListener struct {
	net.Listener
	path string
}

func (l *namedListener) Close() error {
	err := l.Listener.Close()
	_ = os.Remove(l.path) // it may be removed already
	return err
}
