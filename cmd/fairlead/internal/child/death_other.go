//go:build unix && !linux

package child

import "syscall"

// dieTogether: only Linux can do that.
func dieTogether(*syscall.SysProcAttr) {}
