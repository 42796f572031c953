//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// runAttr: a process group of its own keeps Ctrl-C away from the program, which gets the
// signal when it is drained.
func runAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// signalGroup signals a program that was started with runAttr, and its children.
func signalGroup(p *os.Process, s syscall.Signal) {
	_ = syscall.Kill(-p.Pid, s) // it may have ended
}

// passSignals passes on the signals that mean something to programs, besides those that
// end the command. It stops when the returned function is called.
func passSignals(p *os.Process) (stop func()) {
	c := make(chan os.Signal, 8)
	signal.Notify(c, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGQUIT)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range c {
			_ = p.Signal(s) // it may have ended
		}
	}()
	return func() {
		signal.Stop(c)
		close(c)
		<-done
	}
}
