package etcdtest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// spawner starts processes that the kernel kills when this one ends.
//
// The kernel sends the parent-death signal when the thread that forked ends, not when the process
// ends, and the Go runtime may end threads. So one goroutine holds on to one thread, which starts
// all children, as long as any child lives.
type spawner struct {
	start chan func()
	done  chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{start: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for f := range s.start {
			f()
		}
	}()
	return s
}

// close ends the spawner; its children must have ended.
func (s *spawner) close() {
	close(s.start)
	<-s.done
}

// process is one run of a server.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone and reaped
	err    error         // how it ended; read it after exited

	mu     sync.Mutex
	frozen bool
}

// run starts a program in a directory and appends its output to a file. A pipe would need a
// goroutine that copies, and a frozen reader would block the server.
func (s *spawner) run(path string, args, env []string, dir, logFile string) (*process, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = env
	cmd.Dir = dir
	cmd.SysProcAttr = childAttr()
	started := make(chan error)
	s.start <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *process) freeze() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	p.frozen = true
	return p.awaitStopped()
}

func (p *process) thaw() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.signal(syscall.SIGCONT); err != nil {
		return err
	}
	p.frozen = false
	return nil
}

func (p *process) isFrozen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.frozen
}

func (p *process) signal(sig syscall.Signal) error {
	if !p.alive() {
		return os.ErrProcessDone
	}
	return p.cmd.Process.Signal(sig)
}

// kill ends the process at once, even a frozen one, and waits until it is gone.
func (p *process) kill() {
	if p.signal(syscall.SIGKILL) == nil {
		p.signal(syscall.SIGCONT) // on Linux SIGKILL alone ends a stopped process
	}
	<-p.exited
}

// terminate asks the process to end in its own time and waits until it has.
func (p *process) terminate() {
	if p.signal(syscall.SIGTERM) == nil {
		p.signal(syscall.SIGCONT)
	}
	<-p.exited
}
