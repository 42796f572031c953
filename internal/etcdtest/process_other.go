//go:build !linux

package etcdtest

import "syscall"

// childAttr leaves children in our process group, so that Ctrl-C reaches them: there is no
// parent-death signal here.
func childAttr() *syscall.SysProcAttr { return nil }

// awaitStopped returns at once: here it cannot find out, and the signal is delivered soon.
func (p *process) awaitStopped() error { return nil }
