// Package child runs one program as a child process, with all that belongs to it.
//
// The program gets a process group of its own: a signal goes to the program and to the processes
// that it started, and at the end nothing of the group is left. It dies with this process (on
// Linux), however that ends. On a terminal its group has the foreground, as under a shell: Ctrl-C
// goes to it only, and when Ctrl-Z stops it this process stops too. Signals with a meaning for
// programs, SIGHUP for example, are passed on to the group; the caller decides about SIGINT and
// SIGTERM.
//
// One goroutine starts the program and keeps its thread, because the kernel ties the program's life
// to that; another waits for its end. Code that differs between systems is in files of its own:
// groups and terminals need Unix; elsewhere only the program itself can be killed.
package child

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Spec describes a program.
type Spec struct {
	Args   []string // its name or path, and its arguments
	Env    []string // KEY=VALUE; nil: this process's environment
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Background is for another program, a check for example: it does not use the terminal, and
	// gets only the signals that are sent to it.
	Background bool
}

// Status is how a program ended, in the way shells report it: its exit status, or 128 plus the
// number of the signal that ended it.
type Status int

// StartError is the failure to start a program.
type StartError struct {
	Program string
	Cause   error
}

func (e *StartError) Error() string {
	return fmt.Sprintf("%s cannot be started: %v", e.Program, e.Cause)
}
func (e *StartError) Unwrap() error { return e.Cause }

// Status is 127 if there is no such program, and 126 if there is but it cannot be run.
func (e *StartError) Status() Status {
	if errors.Is(e.Cause, exec.ErrNotFound) || errors.Is(e.Cause, fs.ErrNotExist) {
		return 127
	}
	return 126
}

// Find reports a program that cannot be run, before it is started; the error is a *StartError.
func Find(program string) error {
	if _, err := exec.LookPath(program); err != nil {
		return startError(program, err)
	}
	return nil
}

// startError makes a *StartError without repeating the program's name.
func startError(program string, err error) error {
	var e *exec.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return &StartError{program, err}
}

// Child is a program that was started. Its methods are safe for concurrent use.
type Child struct {
	cmd    *exec.Cmd
	done   chan struct{} // closed when the program has ended
	status Status        // valid then
	job    job           // the system's part of it
}

// outputDelay is how long the output of processes that the program left behind is still passed on.
const outputDelay = time.Second

// pollGroup is how often a group is checked for being empty, of which the system gives no notice.
const pollGroup = 10 * time.Millisecond

// dieWithin is how long processes may take to end that were killed. They need the processor for
// it; one that waits for a disk that does not answer cannot be waited for.
const dieWithin = 5 * time.Second

// Start starts a program; the error is a *StartError.
func Start(s Spec) (*Child, error) {
	if err := Find(s.Args[0]); err != nil {
		return nil, err
	}
	c := &Child{cmd: exec.Command(s.Args[0], s.Args[1:]...), done: make(chan struct{})}
	c.cmd.Env, c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = s.Env, s.Stdin, s.Stdout, s.Stderr
	c.cmd.WaitDelay = outputDelay
	c.job.prepare(c.cmd, s.Background)
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			<-c.done
		}
	}()
	if err := <-started; err != nil {
		c.job.close()
		return nil, startError(s.Args[0], err)
	}
	c.job.started(c.cmd)
	go func() {
		defer close(c.done)
		c.status = c.job.wait(c.cmd)
	}()
	return c, nil
}

// Done is closed when the program has ended, even if it has left processes behind.
func (c *Child) Done() <-chan struct{} { return c.done }

// Status waits for the program's end and returns its status.
func (c *Child) Status() Status {
	<-c.done
	return c.status
}

// Signal sends a signal to the program and to the processes of its group.
func (c *Child) Signal(s syscall.Signal) { c.job.signal(c.cmd, s) }

// End sends a signal to the group and waits until all of it has ended; processes left after the
// grace period are killed, and waited for as well. It reports whether that was necessary. A stopped
// group is continued, since it could not end.
func (c *Child) End(s syscall.Signal, grace time.Duration) (killed bool) {
	c.job.end(c.cmd, s)
	limit := time.NewTimer(grace)
	defer limit.Stop()
	kill := func() {
		killed = true
		c.Signal(syscall.SIGKILL)
		limit.Reset(dieWithin)
	}
	select {
	case <-c.done:
	case <-limit.C:
		kill()
		<-c.done
	}
	poll := time.NewTicker(pollGroup)
	defer poll.Stop()
	for c.job.alive(c.cmd) {
		select {
		case <-poll.C:
		case <-limit.C:
			if killed {
				return true
			}
			kill()
		}
	}
	return killed
}
