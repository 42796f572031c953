package clienttest

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Process is the test's own program once more, as a server that can be stopped.
type Process struct {
	Addr string // where it serves, as it printed on its first line
	cmd  *exec.Cmd
}

// StartProcess starts a Process with the variable env set, which its TestMain checks. The process
// must serve until its standard input ends, which is when the test ends.
func StartProcess(t testing.TB, env string) *Process {
	t.Helper()
	p := &Process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), env+"=1"), os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Signal(t, syscall.SIGCONT)
		in.Close()
		if err := p.cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	p.Addr = strings.TrimSpace(line)
	return p
}

// Signal sends a signal. After SIGSTOP it returns when all threads have stopped: a thread that
// still runs answers one more call.
func (p *Process) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Error(err)
	}
	if s == syscall.SIGSTOP {
		var state syscall.WaitStatus
		if _, err := syscall.Wait4(p.cmd.Process.Pid, &state, syscall.WUNTRACED, nil); err != nil || !state.Stopped() {
			t.Errorf("it does not stop: %v, %v", state, err)
		}
	}
}
