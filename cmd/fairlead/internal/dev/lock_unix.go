//go:build unix

package dev

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockDir makes the directory and locks it, so that a second cluster on the same data fails with
// the reason. Etcd itself would silently wait for the first one to end.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "fairlead-dev.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is in use by another fairlead dev", dir)
	}
	return func() { f.Close() }, nil
}
