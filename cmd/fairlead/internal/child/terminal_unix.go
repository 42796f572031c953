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

// terminal is the terminal that controls this process. On it this process behaves as a shell's job
// does: it gives its place in the foreground to the program's group, and takes it back when that
// stops or ends. When the program was stopped from the terminal, this process stops itself, with
// all of its own group, so that the shell goes on.
//
// In a pipeline other processes of our group need the keyboard too, a pager for example. There the
// program gets the foreground only if it asks for it, that is, when it is stopped because it reads
// from the background.
type terminal struct {
	tty     *os.File
	own     int            // this process's group
	group   int            // the program's; 0 until it was started
	wants   bool           // the program's group gets the foreground when we have it
	ours    bool           // it has the foreground from us
	signals chan os.Signal // SIGCONT and SIGTSTP
	look    *time.Timer    // for checks whether this group is in the foreground again
}

// lookAgain is how often a group in the background checks that: bash's fg sends no signal to a job
// that runs already.
const lookAgain = 100 * time.Millisecond

// openTerminal returns nil if no terminal controls this process.
func openTerminal() *terminal {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	t := &terminal{tty: tty, own: unix.Getpgrp(), signals: make(chan os.Signal, 2), look: time.NewTimer(lookAgain)}
	t.look.Stop()
	return t
}

// foreground returns the group that has the terminal, 0 if that is unknown.
func (t *terminal) foreground() int {
	group, err := unix.IoctlGetInt(int(t.tty.Fd()), unix.TIOCGPGRP)
	if err != nil {
		return 0
	}
	return group
}

// give gives the foreground to a group. It works from the background too, since SIGTTOU is ignored
// then.
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

// close takes the foreground back, even if the program did not start.
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

// signalled handles a signal that this process got.
func (t *terminal) signalled(s os.Signal) {
	if s == syscall.SIGTSTP { // Ctrl-Z in a pipeline, or a kill from elsewhere: it is meant for the program too
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
		if had { // no shell would continue it
			t.resume()
		}
	case had:
		t.give(t.own)
		t.suspend(0)
		t.resume()
	case asks:
		t.suspend(0)
		t.resume()
	} // otherwise another process has stopped just the program, and will continue it
}

// hasShell reports whether this process is a job of a shell with job control: then the leader of
// the session is in another group.
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
	_ = unix.Kill(who, syscall.SIGSTOP) // the runtime does not restore the default action of SIGTSTP
	<-continued
}

// behind returns a timer for the next check if the program wants the foreground and does not have
// it, and nil otherwise.
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

// resume continues the program, in the foreground if it wants that and we have it.
func (t *terminal) resume() {
	t.ours = t.ours && t.foreground() == t.group
	if t.wants && t.foreground() == t.own {
		t.give(t.group)
	}
	_ = unix.Kill(-t.group, syscall.SIGCONT)
}
