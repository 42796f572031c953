// Package dev runs etcd clusters inside this process to develop against: `fairlead dev`.
package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/server"
)

// readyTimeout bounds the start. It takes a second or two; large data take longer to load.
const readyTimeout = time.Minute

// Options choose the cluster to run.
type Options struct {
	Members  int    // 1 or more; 0 for as many as DataDir holds, else 1
	Port     int    // the first member's port for clients, before those of the others; 0 for the usual ones
	DataDir  string // a temporary directory, removed at the end, if empty
	LogLevel string // etcd's log is also written to Stderr from this level on, if set
	Stdout   io.Writer
	Stderr   io.Writer
	// Ready, if set, is called once the cluster serves. It returns a line to print, and a function
	// that is called before the cluster ends.
	Ready func(ctx context.Context, endpoints []string) (line string, stop func(), err error)
}

// Run runs a cluster until ctx ends, which is no error, or until a member fails.
func Run(ctx context.Context, o Options) (err error) {
	dir, temporary := o.DataDir, o.DataDir == ""
	if temporary {
		if dir, err = os.MkdirTemp("", "fairlead-dev-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	} else if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	layout, notes, release, err := plan(dir, o.Members, o.Port)
	if err != nil {
		return err
	}
	if err := layout.save(dir); err != nil {
		release()
		return err
	}
	c := &cluster{layout: layout, failed: make(chan error, len(layout.Members))}
	defer c.stop()
	for _, n := range notes {
		fmt.Fprintln(o.Stdout, n)
	}
	release()
	if err := c.start(ctx, dir, o, temporary); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	line := ""
	if o.Ready != nil {
		var stop func()
		if line, stop, err = o.Ready(ctx, layout.endpoints()); err != nil {
			return err
		}
		defer stop()
	}
	c.announce(o.Stdout, dir, temporary, line)
	select {
	case <-ctx.Done():
		fmt.Fprintln(o.Stdout, "\nStopping.")
		return nil
	case err := <-c.failed:
		return err
	}
}

// cluster is the running members.
type cluster struct {
	layout  *layout
	failed  chan error // a member that ended by itself
	members []*server.Member
	watch   sync.WaitGroup // one goroutine per member, until it ends
	done    chan struct{}  // closed when stopping
}

func (c *cluster) start(ctx context.Context, dir string, o Options, temporary bool) error {
	c.done = make(chan struct{})
	for _, m := range c.layout.Members {
		started, err := server.Start(server.Spec{
			Name: m.Name, Dir: filepath.Join(dir, m.Name),
			ClientAddr: m.Client, PeerAddr: m.Peer, PeerURL: m.PeerURL,
			Cluster: c.layout.initialCluster(), Token: "fairlead-dev",
			LogFile: filepath.Join(dir, m.Name+".log"), LogLevel: o.LogLevel, LogStderr: o.LogLevel != "",
			NoFsync: temporary,
		})
		if err != nil {
			return err
		}
		c.members = append(c.members, started)
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for i, m := range c.members {
		if err := m.WaitReady(ctx); err != nil {
			return fmt.Errorf("member %s did not get ready: %w (see %s)", c.layout.Members[i].Name, err,
				filepath.Join(dir, c.layout.Members[i].Name+".log"))
		}
	}
	for i, m := range c.members {
		c.watch.Go(func() {
			select {
			case err := <-m.Err():
				c.failed <- fmt.Errorf("member %s has failed: %w", c.layout.Members[i].Name, err)
			case <-c.done:
			}
		})
	}
	return nil
}

// stop ends all members at once: one by one, the last would wait for a majority that no longer
// exists.
func (c *cluster) stop() {
	if c.done == nil {
		return
	}
	close(c.done)
	c.watch.Wait()
	var wg sync.WaitGroup
	for _, m := range c.members {
		wg.Go(m.Stop)
	}
	wg.Wait()
}

func (c *cluster) announce(out io.Writer, dir string, temporary bool, line string) {
	kept := "kept"
	if temporary {
		kept = "removed at the end"
	}
	members := "1 member"
	if n := len(c.layout.Members); n > 1 {
		members = fmt.Sprintf("%d members", n)
	}
	fmt.Fprintf(out, "etcd with %s is ready; data in %s (%s)\n\n", members, dir, kept)
	for _, m := range c.layout.Members {
		fmt.Fprintf(out, "  %s  http://%s\n", m.Name, m.Client)
	}
	if line != "" {
		fmt.Fprintf(out, "\n%s\n", line)
	}
	fmt.Fprintf(out, "\nexport ETCDCTL_ENDPOINTS=%s\n\nCtrl-C ends it.\n", strings.Join(c.layout.endpoints(), ","))
}
