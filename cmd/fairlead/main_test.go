package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// These tests run the built program as users do: signals, children, terminals and pipes cannot be
// tested in-process.

// patience bounds the wait for what must happen; a loaded machine may need it.
const patience = 60 * time.Second

// program is the built binary, in a directory that TestMain removes.
var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "fairlead-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "fairlead")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	// If nohup started this process, for example, it ignores hangups, and its children would too. A
	// signal that a process handles has its default action in the process's children.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	return m.Run()
}

// proc is a running program, whose output a test can wait for.
type proc struct {
	t    *testing.T
	cmd  *exec.Cmd
	tmp  string // its temporary directory
	done chan struct{}

	mu      sync.Mutex
	out     bytes.Buffer  // standard output and error
	changed chan struct{} // closed when out grows
}

func (p *proc) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
	return p.out.Write(b)
}

func start(t *testing.T, args ...string) *proc {
	t.Helper()
	return startTo(t, nil, args...)
}

// startTo starts the program with standard output to a file.
func startTo(t *testing.T, stdout *os.File, args ...string) *proc {
	t.Helper()
	return startCommand(t, stdout, exec.Command(program, args...))
}

// startCommand starts any program, with standard output to a file if there is one.
func startCommand(t *testing.T, stdout *os.File, cmd *exec.Cmd) *proc {
	t.Helper()
	p := &proc{t: t, cmd: cmd, tmp: t.TempDir(), done: make(chan struct{}), changed: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "TMPDIR="+p.tmp)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

func (p *proc) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// await waits until the output contains text.
func (p *proc) await(text string) string {
	p.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		p.mu.Lock()
		out, changed := p.out.String(), p.changed
		p.mu.Unlock()
		if strings.Contains(out, text) {
			return out
		}
		select {
		case <-changed:
		case <-p.done:
			if out = p.output(); strings.Contains(out, text) {
				return out
			}
			p.t.Fatalf("the program has ended without %q:\n%s", text, out)
		case <-timeout.C:
			p.t.Fatalf("no %q after %v:\n%s", text, patience, out)
		}
	}
}

// wait waits for the end and returns the exit code.
func (p *proc) wait() int {
	p.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-timeout.C:
		p.t.Fatalf("still running after %v:\n%s", patience, p.output())
		return -1
	}
}

func (p *proc) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// wantNothingLeft checks that the program's children are gone, and, unless files is false, its
// temporary files too.
func (p *proc) wantNothingLeft(files bool) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for len(running()) > 0 {
		if time.Now().After(deadline) {
			p.t.Fatalf("processes left: %v", running())
		}
		<-tick.C
	}
	if left, _ := os.ReadDir(p.tmp); files && len(left) > 0 {
		p.t.Errorf("files left: %v", left)
	}
}

// running lists the processes of our binary, as the kernel names them.
func running() (pids []string) {
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range exes {
		if target, err := os.Readlink(exe); err == nil && target == program {
			pids = append(pids, strings.Split(exe, "/")[2])
		}
	}
	return pids
}

// ctl runs one short command and returns its output.
func ctl(t *testing.T, endpoints string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "ETCDCTL_ENDPOINTS="+endpoints)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}
