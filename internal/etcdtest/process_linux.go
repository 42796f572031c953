package etcdtest

import "syscall"

// childAttr: the kernel kills the child when the thread that started it ends. A process group of its own keeps Ctrl-C on a terminal
// away from it, so that a server ends when its test says so.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
