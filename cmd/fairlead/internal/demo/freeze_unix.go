//go:build unix

package demo

import "syscall"

func (m *child) freeze() error { return m.cmd.Process.Signal(syscall.SIGSTOP) }

func (m *child) thaw() error { return m.cmd.Process.Signal(syscall.SIGCONT) }
