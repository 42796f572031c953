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

// terminal is the one that controls this process, and this process is there what a shell's job is:
// it gives its place in the foreground to the program's group, takes it back when that stops or
// ends, and stops itself, with all of its own group, when the program was stopped from there, so
// that the shell goes on.
//
// In a pipeline others of our group need the keyboard too, a pager for instance. There the program
// gets the foreground only if it asks for it, that is, when it is stopped because it reads from
// behind.
type terminal struct {
	tty     *os.File
	own     int            // this process's group
	group   int            // the program's; 0 until it was started
	wants   bool           // the program's group gets the foreground when we have it
	ours    bool           // it has got it from us
	signals chan os.Signal // SIGCONT and SIGTSTP
	look    *time.Timer    // to look whether this group is in front again
}

// lookAgain is how often a group that is behind looks for that: bash's fg tells nobody when the job
// runs already.
const lookAgain = 100 * time.Millisecond

// openTerminal is nil if no terminal controls this process.
func openTerminal() *terminal {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	t := &terminal{tty: tty, own: unix.Getpgrp(), signals: make(chan os.Signal, 2), look: time.NewTimer(lookAgain)}
	t.look.Stop()
	return t
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
	t.wants = isTerminal(cmd.Stdin) && isTerminal(cmd.Stdout)
	if !t.wants || t.foreground() != t.own {
		return
	}
	t.ours = true
	cmd.SysProcAttr.Foreground = true
	cmd.SysProcAttr.Ctty = int(t.tty.Fd())
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// started is called when the program runs. From now on SIGTTOU is ignored; the program does not
// inherit that.
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
	t.look.Stop()
	t.tty.Close()
}

// signalled is called with what this process got.
func (t *terminal) signalled(s os.Signal) {
	if s == syscall.SIGTSTP { // Ctrl-Z in a pipeline, or somebody's kill: it means the program too
		if !t.hasShell() {
			return
		}
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
	case !t.hasShell():
		if had { // nobody would continue it
			t.resume()
		}
	case had:
		t.give(t.own)
		t.suspend(0)
		t.resume()
	case asks:
		t.suspend(0)
		t.resume()
	} // else somebody has stopped just the program, and will continue it
}

// hasShell reports whether a shell with job control looks after this process, as one of its jobs:
// the leader of the session is in another group then.
func (t *terminal) hasShell() bool {
	leader, err := unix.Getsid(0)
	if err != nil {
		return false
	}
	group, err := unix.Getpgid(leader)
	return err == nil && group != t.own
}

// suspend stops this process, or, with 0, its group, until the shell continues it.
func (t *terminal) suspend(who int) {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	_ = unix.Kill(who, syscall.SIGSTOP) // the runtime does not let SIGTSTP have its default action again
	<-continued
}

// behind is where to look from when the program wants the foreground and has not got it; nil if it
// has.
func (t *terminal) behind() <-chan time.Time {
	if !t.wants || t.ours {
		return nil
	}
	t.look.Reset(lookAgain)
	return t.look.C
}

// lookedUp gives the program the foreground if this process has it again.
func (t *terminal) lookedUp() {
	if t.foreground() == t.own {
		t.give(t.group)
	}
}

// resume continues the program, in the foreground if we have got that and it wants it.
func (t *terminal) resume() {
	t.ours = t.ours && t.foreground() == t.group
	if t.wants && t.foreground() == t.own {
		t.give(t.group)
	}
	_ = unix.Kill(-t.group, syscall.SIGCONT)
}
