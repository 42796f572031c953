package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

const (
	prefix = "/services/foosvc/"
	// settle bounds how long the followers may take for the last change.
	settle = time.Minute
)

// follow is a child process: it prints "ready" with its first view, and its processor time once it
// has seen n instances.
func follow(kind, endpoint string, n int) error {
	follower, ok := followers[kind]
	if !ok {
		return fmt.Errorf("no follower %q", kind)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var begin time.Duration
	return follower(ctx, endpoint, func(count int) bool {
		if begin == 0 {
			fmt.Println("ready")
			begin = load.ProcessorTime()
		}
		if count >= n {
			fmt.Println(int64(load.ProcessorTime() - begin))
		}
		return count < n
	})
}

// started is a child that runs.
type started struct {
	kind string
	cmd  *exec.Cmd
	out  *bufio.Reader
}

func start(kind, endpoint string, n int) (*started, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-follow", kind, "-endpoint", endpoint, "-instances", strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &started{kind: kind, cmd: cmd, out: bufio.NewReader(out)}
	t := time.AfterFunc(settle, func() { _ = cmd.Process.Kill() })
	defer t.Stop()
	line, err := s.out.ReadString('\n')
	if err != nil || line != "ready\n" {
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("%s: %q, %w", kind, line, errors.Join(err, cmd.Wait()))
	}
	return s, nil
}

// result waits for the child's figure.
func (s *started) result() (time.Duration, error) {
	t := time.AfterFunc(settle, func() { _ = s.cmd.Process.Kill() })
	defer t.Stop()
	line, err := s.out.ReadString('\n')
	if err := errors.Join(err, s.cmd.Wait()); err != nil {
		return 0, fmt.Errorf("%s: %w", s.kind, err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return time.Duration(ns), err
}

// changes compares what it costs to follow a service with go-kit's Instancer, with that of our
// drop-in, and with a subscription of package discovery. Each is a process of its own. All follow
// the same prefix while instances are registered one after the other.
func changes(t *table, n int, gap time.Duration) error {
	cluster, err := etcdtest.StartMain(etcdtest.Options{})
	if err != nil {
		return err
	}
	defer cluster.Stop()
	endpoint := cluster.Endpoints()[0]
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer c.Close()
	put := func(i int) error {
		ctx, cancel := context.WithTimeout(context.Background(), settle)
		defer cancel()
		_, err := c.Put(ctx, fmt.Sprintf("%s%05d", prefix, i), fmt.Sprintf("http://10.0.%d.%d:8080", i/256, i%256))
		return err
	}
	if err := put(0); err != nil { // go-kit reports nothing of an empty service
		return err
	}
	kinds := []string{"go-kit Instancer", "our drop-in's Instancer", "discovery.Subscription"}
	var children []*started
	for _, kind := range kinds {
		s, err := start(kind, endpoint, n)
		if err != nil {
			return err
		}
		children = append(children, s)
	}
	tick := time.NewTicker(gap)
	defer tick.Stop()
	for i := 1; i < n; i++ {
		<-tick.C
		if err := put(i); err != nil {
			return err
		}
	}
	var first time.Duration
	for _, s := range children {
		took, err := s.result()
		if err != nil {
			return err
		}
		bar := ""
		if first == 0 {
			first = took
		} else {
			bar = "less than go-kit's"
		}
		each := (took / time.Duration(n)).Round(100 * time.Nanosecond)
		t.line(
			fmt.Sprintf("a change, %d of them: processor time", n),
			s.kind,
			fmt.Sprintf("%v, 1/%.1f of go-kit's", each, float64(first)/float64(max(took, 1))),
			bar,
			bar == "" || took < first,
		)
	}
	return nil
}
