//go:build !unix

package cli

import (
	"os"
	"syscall"
)

func runAttr() *syscall.SysProcAttr { return nil }

func signalGroup(p *os.Process, s syscall.Signal) {
	if s == syscall.SIGKILL {
		_ = p.Kill()
		return
	}
	_ = p.Signal(s) // it may have ended
}

// passSignals: there are none to pass on here.
func passSignals(*os.Process) (stop func()) { return func() {} }
