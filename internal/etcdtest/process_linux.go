package etcdtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// childAttr: the kernel kills the child when the thread that started it ends. A process group of
// its own keeps Ctrl-C on a terminal away from it, so that a server ends when its test says so.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// stopTimeout bounds the time between the signal and the stop of the last thread, usually well
// below a millisecond.
const stopTimeout = 10 * time.Second

// awaitStopped returns when every thread of the process has stopped. The signal alone does not wait
// for that, and a server with a thread still running answers one more request.
func (p *process) awaitStopped() error {
	deadline := time.Now().Add(stopTimeout)
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for !stopped(p.cmd.Process.Pid) {
		if time.Now().After(deadline) {
			return errors.New("etcdtest: the process does not stop")
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return os.ErrProcessDone
		}
	}
	return nil
}

func stopped(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			return false // the thread ended meanwhile; look again
		}
		// pid (name) state ...; the name may hold anything.
		_, state, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
		if !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return len(stats) > 0
}
