package child

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// dieTogether has the kernel kill the program when the thread that started it ends, and so when
// this process ends.
func dieTogether(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }

// adoptOrphans makes this process the parent of processes whose parent ends from now on, so that it
// can collect them: process 1 may take its time, and a group exists until all of it is collected.
// It is not called earlier: no process would collect those that leave the group.
func adoptOrphans() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } // without, the end takes longer
