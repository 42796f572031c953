//go:build unix

package child

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// Behaviour that only a command line, a shell or a terminal shows is tested with the commands, by
// the built program.

// patience bounds the wait for what must happen.
const patience = 60 * time.Second

func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(what)
		}
	}
}

func script(t *testing.T, out *clienttest.Buffer, text string) *Child {
	t.Helper()
	c, err := Start(Spec{Args: []string{"sh", "-c", text}, Stdout: out, Stderr: out})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.End(syscall.SIGKILL, 0) })
	return c
}

func TestStatus(t *testing.T) {
	for text, want := range map[string]Status{
		"true": 0, "exit 7": 7, "exit 255": 255, "kill -9 $$": 137, "kill -TERM $$": 143,
		"exec sh -c 'kill -INT $$'": 130,
	} {
		var out clienttest.Buffer
		if got := script(t, &out, text).Status(); got != want {
			t.Errorf("%s: %d, want %d: %s", text, got, want, &out)
		}
	}
}

// Many programs that end at once, each with a status of its own: none gets another's, and none is
// missed.
func TestManyAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			c, err := Start(
				Spec{Args: []string{"sh", "-c", `exit "$0"`, string(rune('0' + i%10))}, Background: i%2 == 0},
			)
			if err != nil {
				t.Error(err)
			} else if got := c.Status(); got != Status(i%10) {
				t.Errorf("%d, want %d", got, i%10)
			}
		})
	}
	wg.Wait()
	await(t, "goroutines are left", func() bool {
		stacks := make([]byte, 1<<20)
		return !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "child.(*")
	})
}

func TestCannotStart(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for program, want := range map[string]Status{
		"nosuchprogram": 127, "/no/such/program": 127, dir: 126,
		file("forbidden", "#!/bin/sh\n", 0o600):                  126,
		file("garbage", "\x00\x01\x02\x03", 0o700):               126,
		file("interpreter", "#!/no/such/interpreter\n", 0o700):   127,
		file("empty", "", 0o700):                                 126,
		filepath.Join(file("nodirectory", "", 0o600), "program"): 126,
	} {
		_, err := Start(Spec{Args: []string{program}})
		var start *StartError
		if !errors.As(err, &start) {
			t.Errorf("%s: %v", program, err)
		} else if start.Status() != want || strings.Count(err.Error(), program) != 1 {
			t.Errorf("%s: status %d, want %d: %v", program, start.Status(), want, err)
		}
	}
}

// A stopped group ends all the same.
func TestEndStopped(t *testing.T) {
	var out clienttest.Buffer
	c := script(t, &out, "trap 'echo told; exit 3' TERM; echo began; while :; do sleep 0.02; done")
	await(t, "it does not begin", func() bool { return strings.Contains(out.String(), "began") })
	c.Signal(syscall.SIGSTOP)
	if killed := c.End(syscall.SIGTERM, patience); killed || c.Status() != 3 ||
		!strings.Contains(out.String(), "told") {
		t.Errorf("killed: %v, status %d: %s", killed, c.Status(), &out)
	}
	c.Signal(syscall.SIGTERM) // the group is empty: nothing happens
}

// What had to be killed has ended as well when End returns: the caller then lets go of the lock
// that the program worked under.
func TestKilledHasEnded(t *testing.T) {
	for name, then := range map[string]string{"with the program": "", "after the program": "exit 0"} {
		var out clienttest.Buffer
		c := script(t, &out, "trap '"+then+`' TERM; for i in 1 2 3 4 5; do for j in 1 2 3 4 5; do
			sh -c "trap '' TERM; echo began; while :; do sleep 0.02; done" & done; done; while :; do sleep 0.02; done`)
		await(t, "it does not begin", func() bool { return strings.Count(out.String(), "began") == 25 })
		if !c.End(syscall.SIGTERM, 100*time.Millisecond) {
			t.Errorf("%s: it was not killed", name)
		}
		if err := syscall.Kill(-c.cmd.Process.Pid, 0); err != syscall.ESRCH {
			t.Errorf("%s: processes are left: %v", name, err)
		}
	}
}

// The end of a program is seen although another process keeps its output open.
func TestOutputKeptOpen(t *testing.T) {
	var out clienttest.Buffer
	c := script(t, &out, "sleep 1000 & echo $!")
	select {
	case <-c.Done():
	case <-time.After(patience):
		t.Fatal("the wait goes on for what the program has left behind")
	}
	if c.Status() != 0 {
		t.Errorf("status %d", c.Status())
	}
	if killed := c.End(syscall.SIGTERM, patience); killed {
		t.Error("what it has left behind was killed by force")
	}
}
