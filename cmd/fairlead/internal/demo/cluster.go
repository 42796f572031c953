package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/server"
)

const (
	members = 3
	// A short heartbeat, as fits a network of one machine; an election takes half a second to a
	// second.
	heartbeatMS = 50
	electionMS  = 500
	// startAttempts: another process may take a free port before a member listens on it.
	startAttempts = 3
	readyTimeout  = 20 * time.Second
)

// cluster is three child processes and their directory.
type cluster struct {
	dir     string
	members []*child
}

type child struct {
	name     string
	endpoint string
	cmd      *exec.Cmd
	stdin    io.Closer // closing it tells the child to end
	exited   chan struct{}
	logFile  string
}

func startCluster(ctx context.Context, command []string) (*cluster, error) {
	var err error
	for range startAttempts {
		var c *cluster
		c, err = tryStart(ctx, command)
		if err == nil {
			return c, nil
		}
		err = errors.Join(err, c.stop())
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return nil, err
}

// tryStart returns the cluster even with an error, so that it can be stopped.
func tryStart(ctx context.Context, command []string) (*cluster, error) {
	c := &cluster{}
	var err error
	if c.dir, err = os.MkdirTemp("", "fairlead-demo-"); err != nil {
		return c, err
	}
	specs, err := c.specs()
	if err != nil {
		return c, err
	}
	ready := make(chan error, members)
	for _, s := range specs {
		if err := c.startChild(command, s, ready); err != nil {
			return c, err
		}
	}
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	for range specs {
		select {
		case err := <-ready:
			if err != nil {
				return c, err
			}
		case <-timeout.C:
			return c, fmt.Errorf("the members were not ready after %v", readyTimeout)
		case <-ctx.Done():
			return c, context.Cause(ctx)
		}
	}
	return c, nil
}

func (c *cluster) specs() ([]server.Spec, error) {
	var specs []server.Spec
	var names []string
	for i := range members {
		var addrs [2]string
		for j := range addrs {
			addr, release, err := server.FreeAddr()
			if err != nil {
				return nil, err
			}
			defer release() // only at the end, so that all ports are different
			addrs[j] = addr
		}
		s := server.Spec{
			Name: fmt.Sprintf("m%d", i+1), ClientAddr: addrs[0], PeerAddr: addrs[1], PeerURL: "http://" + addrs[1],
			Token: c.dir, NoFsync: true, HeartbeatMS: heartbeatMS, ElectionMS: electionMS, LogLevel: "warn",
		}
		s.Dir, s.LogFile = filepath.Join(c.dir, s.Name), filepath.Join(c.dir, s.Name+".log")
		specs = append(specs, s)
		names = append(names, s.Name+"="+s.PeerURL)
	}
	for i := range specs {
		specs[i].Cluster = strings.Join(names, ",")
	}
	return specs, nil
}

// startChild starts a member and returns; ready gets nil, or the reason why it did not become
// ready.
func (c *cluster) startChild(command []string, s server.Spec, ready chan<- error) error {
	m, first, err := startProcess(command, s, s.Name, s.LogFile)
	if err != nil {
		return err
	}
	m.endpoint = s.ClientAddr
	c.members = append(c.members, m)
	go func() {
		if line := <-first; line == "ready" {
			ready <- nil
		} else {
			ready <- fmt.Errorf("member %s has ended: %s", m.name, lastLine(m.logFile))
		}
	}()
	return nil
}

// startProcess starts a child, which gets its description as JSON, and returns. first gets the
// first line that the child writes, or is closed if the child ends without one.
func startProcess(command []string, spec any, name, logFile string) (*child, <-chan string, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.SysProcAttr = childAttr()
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	c := &child{name: name, cmd: cmd, stdin: stdin, exited: make(chan struct{}), logFile: logFile}
	first := make(chan string, 1)
	go func() {
		if line, err := bufio.NewReader(stdout).ReadString('\n'); err == nil {
			first <- strings.TrimSuffix(line, "\n")
		}
		io.Copy(io.Discard, stdout) // until the child's end, which Wait must not precede
		cmd.Wait()
		close(c.exited)
		close(first)
	}()
	// A child that has ended already needs no description; its end is seen elsewhere.
	_ = json.NewEncoder(stdin).Encode(spec)
	return c, first, nil
}

func lastLine(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

func (c *cluster) endpoints() []string {
	var eps []string
	for _, m := range c.members {
		eps = append(eps, m.endpoint)
	}
	return eps
}

// stop kills the members, even frozen ones (their data are not kept), waits for them and removes
// their files.
func (c *cluster) stop() error {
	var wg sync.WaitGroup
	for _, m := range c.members {
		wg.Go(m.kill)
	}
	wg.Wait()
	if c.dir == "" {
		return nil
	}
	return os.RemoveAll(c.dir)
}

// kill ends the child at once, even a frozen one, and waits for it.
func (c *child) kill() {
	c.thaw()
	c.cmd.Process.Kill()
	c.stdin.Close()
	<-c.exited
}
