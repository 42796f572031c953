//go:build !linux

package demo

import "syscall"

// childAttr: elsewhere the children end with their standard input, and with Ctrl-C, since they
// share our process group.
func childAttr() *syscall.SysProcAttr { return nil }
