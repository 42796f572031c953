//go:build !unix

package child

import (
	"os/exec"
	"syscall"
)

// job is empty: there are no groups and no terminals to hand over here.
type job struct{}

func (*job) prepare(*exec.Cmd, bool) {}
func (*job) started(*exec.Cmd)       {}
func (*job) close()                  {}
func (*job) alive(*exec.Cmd) bool    { return false }

func (*job) wait(cmd *exec.Cmd) Status {
	_ = cmd.Wait() // the status reports it
	return Status(cmd.ProcessState.ExitCode())
}

func (*job) signal(cmd *exec.Cmd, s syscall.Signal) {
	if s == syscall.SIGKILL {
		_ = cmd.Process.Kill()
		return
	}
	_ = cmd.Process.Signal(s) // it may have ended
}

func (j *job) end(cmd *exec.Cmd, s syscall.Signal) { j.signal(cmd, s) }
