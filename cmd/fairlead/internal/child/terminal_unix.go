//go:build unix

package child

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal is the one that controls this process, and this process is there what a shell's job is: it gives its place in the
// foreground to the program's group, takes it back when that stops or ends, and stops itself, with all of its own group, when
// the program was stopped from there, so that the shell goes on.
//
// In a pipeline others of our group need the keyboard too, a pager for instance. There the program gets the foreground
// only if it asks for it, that is, when it is stopped because it reads from behind.
type terminal struct {
	tty     *os.File
	own     int            // this process's group
	group   int            // the program's; 0 until it was started
	wants   bool           // the program's group gets the foreground when we have it
	ours    bool           // it has got it from us
	signals chan os.Signal // SIGCONT and SIGTSTP
}

// openTerminal is nil if no terminal controls this process.
func openTerminal() *terminal {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return &terminal{tty: tty, own: unix.Getpgrp(), signals: make(chan os.Signal, 2)}
}

// foreground is the group that has the terminal, 0 if nobody can say.
func (t *terminal) foreground() int {
	group, err := unix.IoctlGetInt(int(t.tty.Fd()), unix.TIOCGPGRP)
	if err != nil {
		return 0
	}
	return group
}

// give gives the foreground to a group. It is called from behind too: SIGTTOU is ignored then.
func (t *terminal) give(group int) {
	_ = unix.IoctlSetPointerInt(int(t.tty.Fd()), unix.TIOCSPGRP, group) // the terminal may have been hung up
	t.ours = group != t.own
}

func (t *terminal) prepare(cmd *exec.Cmd) {
	if !isTerminal(cmd.Stdin) || !isTerminal(cmd.Stdout) || t.foreground() != t.own {
		return
	}
	t.wants, t.ours = true, true
	cmd.SysProcAttr.Foreground = true
	cmd.SysProcAttr.Ctty = int(t.tty.Fd())
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// started is called when the program runs. From now on SIGTTOU is ignored; the program does not inherit that.
func (t *terminal) started(group int) {
	t.group = group
	signal.Ignore(syscall.SIGTTOU)
	signal.Notify(t.signals, syscall.SIGCONT, syscall.SIGTSTP)
}

// close takes the foreground back, also from a program that has not come to run.
func (t *terminal) close() {
	signal.Ignore(syscall.SIGTTOU)
	if t.ours {
		t.give(t.own)
	}
	signal.Reset(syscall.SIGTTOU)
	signal.Stop(t.signals)
	t.tty.Close()
}

// signalled is called with what this process got.
func (t *terminal) signalled(s os.Signal) {
	if s == syscall.SIGTSTP { // Ctrl-Z in a pipeline, or somebody's kill: it means the program too
		_ = unix.Kill(-t.group, syscall.SIGTSTP)
		t.suspend(unix.Getpid())
	}
	t.resume()
}

// stopped is called when a signal has stopped the program.
func (t *terminal) stopped(by syscall.Signal) {
	asks := by == syscall.SIGTTIN || by == syscall.SIGTTOU
	had := t.ours && t.foreground() == t.group
	switch {
	case asks && t.foreground() == t.own:
		t.wants = true
		t.resume()
		return
	case had:
		t.give(t.own)
	case !asks:
		return // somebody has stopped just the program, and will continue it
	}
	if t.suspend(0) || had {
		t.resume()
	}
}

// stopWait is how long it may take until this process stops as it has asked for. It does not if there is no shell to
// continue it.
const stopWait = 200 * time.Millisecond

// suspend stops this process, or, with 0, its group, until somebody continues it. It reports whether that happened.
func (t *terminal) suspend(who int) (continued bool) {
	signal.Stop(t.signals)
	woken := make(chan os.Signal, 1)
	signal.Notify(woken, syscall.SIGCONT)
	_ = unix.Kill(who, syscall.SIGTSTP)
	wait := time.NewTimer(stopWait)
	defer wait.Stop()
	select {
	case <-woken:
		continued = true
	case <-wait.C:
	}
	signal.Notify(t.signals, syscall.SIGCONT, syscall.SIGTSTP)
	signal.Stop(woken)
	return continued
}

// resume continues the program, in the foreground if we have got that and it wants it.
func (t *terminal) resume() {
	t.ours = t.ours && t.foreground() == t.group
	if t.wants && t.foreground() == t.own {
		t.give(t.group)
	}
	_ = unix.Kill(-t.group, syscall.SIGCONT)
}
