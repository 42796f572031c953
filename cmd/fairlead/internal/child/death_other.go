//go:build unix && !linux

package child

import "syscall"

// dieTogether: only Linux can do that.
func dieTogether(*syscall.SysProcAttr) {}

// adoptOrphans: process 1 collects them.
func adoptOrphans() {}
