package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// programs are the processes that were started; all of them end with this process.
type programs struct {
	self  string
	dir   string // of the binary of fairlead
	built func() (string, error)
}

func newPrograms() (*programs, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "fairlead-services-")
	if err != nil {
		return nil, err
	}
	p := &programs{self: self, dir: dir}
	p.built = sync.OnceValues(func() (string, error) {
		file := filepath.Join(dir, "fairlead")
		out, err := exec.Command("go", "build", "-o", file, "github.com/fairlead-go/fairlead/cmd/fairlead").
			CombinedOutput()
		if err != nil {
			err = fmt.Errorf("go build: %w: %s", err, bytes.TrimSpace(out))
		}
		return file, err
	})
	return p, nil
}

func (p *programs) close() { _ = os.RemoveAll(p.dir) }

// fairlead returns the path of the built command.
func (p *programs) fairlead() (string, error) { return p.built() }

func (p *programs) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = withParent()
	return cmd
}

// fleet is the instances of one way.
type fleet struct {
	way       *way
	programs  *programs
	etcd      string
	addresses []string
	cmds      []*exec.Cmd
}

// newFleet starts n instances.
func newFleet(w *way, p *programs, etcd string, n int) (*fleet, error) {
	f := &fleet{way: w, programs: p, etcd: etcd, cmds: make([]*exec.Cmd, n)}
	var held []net.Listener
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		held = append(held, l)
		f.addresses = append(f.addresses, l.Addr().String())
	}
	for i := range n {
		held[i].Close()
		if err := f.start(i); err != nil {
			f.close()
			return nil, err
		}
	}
	return f, nil
}

// start starts an instance; a restarted one has the same id and address.
func (f *fleet) start(i int) error {
	id := fmt.Sprintf("%s-%d", f.way.name, i)
	name, args := f.programs.self, []string{
		"-serve",
		f.way.kind,
		"-endpoint",
		f.etcd,
		"-service",
		f.way.service(),
		"-address",
		f.addresses[i],
		"-id",
		id,
	}
	if f.way.run {
		fairlead, err := f.programs.fairlead()
		if err != nil {
			return err
		}
		name, args = fairlead, append(
			[]string{"--endpoints", f.etcd, "run", "--service", f.way.service(), "--id", id, "--addr", f.addresses[i],
				"--check", "http://" + f.addresses[i] + "/", "--check-every", "500ms", "--", f.programs.self},
			args...)
	}
	f.cmds[i] = f.programs.command(name, args...)
	if !f.way.run { // fairlead run prints more than problems
		f.cmds[i].Stderr = os.Stderr
	}
	return f.cmds[i].Start()
}

// end asks an instance to end, and waits until it has ended.
func (f *fleet) end(i int) error {
	cmd := f.cmds[i]
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	late := time.AfterFunc(4*leaving, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	return cmd.Wait()
}

// kill kills an instance and returns when it is dead.
func (f *fleet) kill(i int) {
	_ = f.cmds[i].Process.Kill()
	_ = f.cmds[i].Wait()
}

// freeze stops an instance's process until thaw: that of the program, not that of fairlead run.
func (f *fleet) freeze(ctx context.Context, i int) (thaw func() error, err error) {
	pid := f.cmds[i].Process.Pid
	if f.way.run {
		if pid, err = f.program(ctx, i); err != nil {
			return nil, err
		}
	}
	return func() error { return syscall.Kill(pid, syscall.SIGCONT) }, syscall.Kill(pid, syscall.SIGSTOP)
}

// program returns the id of the process that serves.
func (f *fleet) program(ctx context.Context, i int) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.addresses[i]+"/process", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// close kills all instances: nobody observes them any more.
func (f *fleet) close() {
	for _, cmd := range f.cmds {
		if cmd != nil && cmd.Process != nil {
			_ = cmd.Process.Kill()
		}
	}
	for _, cmd := range f.cmds {
		if cmd != nil && cmd.Process != nil && cmd.ProcessState == nil {
			_ = cmd.Wait()
		}
	}
}

// await waits until ok returns true; if that takes too long, the error says what was awaited.
func await(ctx context.Context, limit time.Duration, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, errors.Join(ctx.Err(), context.Cause(ctx)))
		}
	}
	return nil
}
