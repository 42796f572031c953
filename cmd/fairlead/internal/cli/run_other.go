//go:build !unix

package cli

import (
	"os"
	"syscall"
)

func runAttr() *syscall.SysProcAttr { return nil }

// passSignals: there are none to pass on here.
func passSignals(*os.Process) (stop func()) { return func() {} }
