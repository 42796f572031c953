package child

import "syscall"

// dieTogether has the kernel kill the program when the thread that started it ends, and so with this process.
func dieTogether(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
