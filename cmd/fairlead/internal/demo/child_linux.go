package demo

import "syscall"

// childAttr: the kernel kills the child when the thread that started it ends, however it does; a
// frozen child could not notice its closed standard input. A process group of its own keeps Ctrl-C
// away from it: the parent ends it.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
