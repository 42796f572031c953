//go:build !linux

package etcdtest

import "syscall"

// childAttr: without a parent-death signal, children share our process group, so that at least
// Ctrl-C reaches them.
func childAttr() *syscall.SysProcAttr { return nil }

// awaitStopped cannot find out here; the signal is delivered soon.
func (p *process) awaitStopped() error { return nil }
