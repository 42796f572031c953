package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// isolatedEnv tells the child process that it has a network of its own.
const isolatedEnv = "FAIRLEAD_COMPAT_ISOLATED"

// isolate runs a prepared suite in a child process. The child has a network of its own where that
// is allowed, else it uses ours.
func (w *workspace) isolate(ctx context.Context, s suite) (report, error) {
	self, err := os.Executable()
	if err != nil {
		return report{}, err
	}
	start := func(attr *syscall.SysProcAttr, isolated bool) (*exec.Cmd, *bytes.Buffer, error) {
		cmd := exec.Command(self, "--prepared", s.name, "--official="+strconv.FormatBool(w.official),
			"--parallel", strconv.Itoa(w.parallel), "--run", w.run)
		cmd.SysProcAttr = attr
		if isolated {
			cmd.Env = append(os.Environ(), isolatedEnv+"=1")
		}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, os.Stderr
		return cmd, &out, cmd.Start()
	}
	attr, isolated := childAttr()
	cmd, out, err := start(attr, isolated)
	if isolated && errors.Is(err, syscall.EPERM) {
		attr.Cloneflags = 0 // root in a container that may not do it
		cmd, out, err = start(attr, false)
	}
	if err != nil {
		return report{}, err
	}
	// Ctrl-C in a terminal also reaches the child. A signal to this program alone does not.
	defer context.AfterFunc(ctx, func() { cmd.Process.Signal(syscall.SIGTERM) })()
	if err := cmd.Wait(); err != nil {
		return report{}, fmt.Errorf("run the suite: %w", err)
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return report{}, fmt.Errorf("run the suite: %w", err)
	}
	return r, nil
}

// runPrepared runs in the child process.
func (w *workspace) runPrepared(ctx context.Context, name string, out io.Writer) error {
	if os.Getenv(isolatedEnv) != "" {
		if err := loopbackUp(); err != nil {
			return err
		}
	}
	chosen, err := choose(w.suites, []string{name}, false)
	if err != nil {
		return err
	}
	var r report
	r.Results, err = w.runPackages(ctx, chosen[0])
	if err != nil {
		r.Err = err.Error()
	}
	return json.NewEncoder(out).Encode(r)
}
