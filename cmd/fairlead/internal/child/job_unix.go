//go:build unix

package child

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// job is the program's process group.
//
// The kernel reports with SIGCHLD that a child has ended or stopped. The child is then collected
// under the lock under which signals are sent: after a group is gone, another may soon have its
// number.
type job struct {
	children chan os.Signal // SIGCHLD
	passed   chan os.Signal // to be passed on
	terminal *terminal      // nil without one

	mu   sync.Mutex // guards gone
	gone bool       // the group is empty: its number may be another's
}

// passedOn are signals with a meaning for programs. If this process ignores one from its start, as
// nohup makes it ignore SIGHUP, the program ignores it too, and it is not passed on.
var passedOn = []os.Signal{syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH}

// prepare is called before the program is started.
func (j *job) prepare(cmd *exec.Cmd, background bool) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieTogether(cmd.SysProcAttr)
	j.children = make(chan os.Signal, 1)
	signal.Notify(j.children, syscall.SIGCHLD)
	if background {
		return
	}
	j.passed = make(chan os.Signal, 8)
	for _, s := range passedOn {
		if !signal.Ignored(s) {
			signal.Notify(j.passed, s)
		}
	}
	if j.terminal = openTerminal(); j.terminal != nil {
		j.terminal.prepare(cmd)
	}
}

// close undoes what prepare did.
func (j *job) close() {
	signal.Stop(j.children)
	if j.passed != nil {
		signal.Stop(j.passed)
	}
	if j.terminal != nil {
		j.terminal.close()
	}
}

// started is called when the program runs.
func (j *job) started(cmd *exec.Cmd) {
	if j.terminal != nil {
		j.terminal.started(cmd.Process.Pid)
	}
}

// wait handles changes of the program, signals and the terminal until the program has ended.
func (j *job) wait(cmd *exec.Cmd) Status {
	defer j.close()
	var terminal <-chan os.Signal
	if j.terminal != nil {
		terminal = j.terminal.signals
	}
	for {
		var behind <-chan time.Time
		if j.terminal != nil {
			behind = j.terminal.behind()
		}
		select {
		case <-behind:
			j.terminal.lookedUp()
		case <-j.children:
			for {
				w, ok := j.collect(cmd.Process.Pid)
				if !ok {
					break
				}
				if w.Stopped() {
					if j.terminal != nil {
						j.terminal.stopped(w.StopSignal())
					}
					continue
				}
				_ = cmd.Wait() // closes its pipes; the process is collected already
				return status(w)
			}
		case s := <-j.passed:
			if s, ok := s.(syscall.Signal); ok {
				j.signal(cmd, s)
			}
		case s := <-terminal:
			j.terminal.signalled(s)
		}
	}
}

func status(w unix.WaitStatus) Status {
	if w.Signaled() {
		return Status(128 + int(w.Signal()))
	}
	return Status(w.ExitStatus())
}

// collect asks for a change of the program's state. It also collects orphans of the group that this
// process has adopted.
func (j *job) collect(pid int) (w unix.WaitStatus, changed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, of := range []int{pid, -pid} {
		for {
			got, err := unix.Wait4(of, &w, unix.WNOHANG|unix.WUNTRACED, nil)
			if err == unix.EINTR {
				continue
			}
			if err != nil || got <= 0 {
				break
			}
			if got == pid {
				if !w.Stopped() {
					j.look(pid)
				}
				return w, true
			}
		}
	}
	return w, false
}

// look finds out whether the group is empty. It is called with mu held.
func (j *job) look(pid int) {
	j.gone = j.gone || errors.Is(unix.Kill(-pid, 0), unix.ESRCH)
}

// signal sends a signal to the group, unless it is gone.
func (j *job) signal(cmd *exec.Cmd, s syscall.Signal) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.gone {
		_ = unix.Kill(-cmd.Process.Pid, s) // the group may have ended
	}
}

// end ends a group, even if it is stopped.
func (j *job) end(cmd *exec.Cmd, s syscall.Signal) {
	adoptOrphans()
	j.signal(cmd, s)
	j.signal(cmd, syscall.SIGCONT)
}

// alive reports whether the group has a process left, once the program has ended.
func (j *job) alive(cmd *exec.Cmd) bool {
	j.collect(cmd.Process.Pid)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.look(cmd.Process.Pid)
	return !j.gone
}
