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

// childAttr lets the kernel kill the child when the thread that started it ends. The child has its
// own process group, so that Ctrl-C on a terminal does not reach it and only its test ends it.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// stopTimeout bounds the time from the signal to the stop of the last thread, which is usually well
// below a millisecond.
const stopTimeout = 10 * time.Second

// awaitStopped returns when every thread of the process has stopped. Sending the signal does not
// wait for that, and a server with a running thread may answer one more request.
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
		// The format is "pid (name) state ...", and the name may hold any character.
		_, state, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
		if !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return len(stats) > 0
}
