package demo

import "syscall"

// childAttr has the kernel kill the child when the thread that started it ends for any reason,
// since a frozen child could not notice its closed standard input. A process group of its own keeps
// Ctrl-C away from the child: the parent ends it.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
