package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// etcd is a cluster of one member, run by `fairlead dev`.
type etcd struct {
	endpoint string
	stop     func() error // may be called more than once
}

const (
	readyWithin = time.Minute // a first start on a busy machine
	stopWithin  = 10 * time.Second
)

// startEtcd returns when the cluster answers. The program prints the endpoint last, as a line for
// a shell.
func startEtcd(ctx context.Context, u *user, fairlead string) (*etcd, error) {
	const line = "export ETCDCTL_ENDPOINTS="
	cmd := exec.CommandContext(ctx, fairlead, "dev", "--members", "1", "--console", "")
	cmd.Dir, cmd.Env = u.dir, append(u.env, "TMPDIR="+u.dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopWithin
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	e := &etcd{stop: sync.OnceValue(func() error {
		if err := cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		late := time.AfterFunc(stopWithin, func() { cmd.Process.Kill() })
		defer late.Stop()
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("fairlead dev: %w\n%s", err, complaints.String())
		}
		return nil
	})}
	found := make(chan string, 1)
	go func() {
		defer close(found)
		for s := bufio.NewScanner(out); s.Scan(); {
			if endpoint, ok := strings.CutPrefix(s.Text(), line); ok {
				found <- endpoint
				break
			}
		}
		io.Copy(io.Discard, out) // so that it can go on printing
	}()
	ready := time.NewTimer(readyWithin)
	defer ready.Stop()
	select {
	case endpoint, ok := <-found:
		if ok {
			e.endpoint = endpoint
			return e, nil
		}
		err = errors.New("fairlead dev ended before it was ready")
	case <-ready.C:
		err = fmt.Errorf("fairlead dev is not ready after %v", readyWithin)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(err, e.stop())
}
