package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/faultnet"
)

const (
	// readyTimeout bounds the start of a cluster. An idle machine needs about a second.
	readyTimeout = 60 * time.Second
	// pollEvery is the pause between two questions whether a server is ready: servers report it to
	// nobody by themselves.
	pollEvery = 20 * time.Millisecond

	defaultHeartbeat = 100 * time.Millisecond // as etcd
	defaultElection  = time.Second            // as etcd
)

// Options describe a cluster. The zero value is one plain member of the default version.
type Options struct {
	Members        int    // 1 if zero
	Version        string // "3.4" to "3.7"; if empty the environment variable FAIRLEAD_ETCD_VERSION, else 3.7
	TLS            *TLS   // clients connect with TLS; see NewTLS
	ClientCertAuth bool   // clients must show a certificate of TLS's CA
	// each member's client port has a faultnet.Proxy in front of it; Member.Endpoint is the proxy's
	// address
	Proxied bool
	// each way between two members has a faultnet.Proxy; PartitionFromPeers needs them (Linux only)
	PeerProxied bool
	Args        []string      // further server flags, e.g. "--auth-token-ttl=2"
	Unix        bool          // members also listen on a Unix socket: Member.Socket
	Heartbeat   time.Duration // 100 ms if zero
	Election    time.Duration // 1 s if zero
}

// Cluster is a running etcd cluster. Its methods may be called from several goroutines.
type Cluster struct {
	opts    Options
	version string
	binary  string
	dir     string
	remove  func() error // removes dir
	spawn   *spawner
	members []*Member
	hub     *peerHub // nil unless PeerProxied

	mu      sync.Mutex
	stopped bool
	extras  []*process // gRPC proxies
}

// Start starts a cluster and waits until it is healthy. When the test ends, so does the cluster; if
// the test failed, the last lines of each member's log are printed.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c, err := StartMain(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, m := range c.members {
				t.Logf("last lines of %s's log:\n%s", m.Name, m.LogTail())
			}
		}
		if err := c.Stop(); err != nil {
			t.Errorf("stop the cluster: %v", err)
		}
	})
	return c
}

// StartMain is Start for callers without a test (TestMain, examples). They call Stop themselves.
func StartMain(o Options) (*Cluster, error) {
	o.Members = max(o.Members, 1)
	if o.Heartbeat == 0 {
		o.Heartbeat = defaultHeartbeat
	}
	if o.Election == 0 {
		o.Election = defaultElection
	}
	binary, err := Binary(o.Version)
	if err != nil {
		return nil, err
	}
	dir, remove, err := workDir()
	if err != nil {
		return nil, fmt.Errorf("etcdtest: %w", err)
	}
	c := &Cluster{
		opts: o, version: resolveVersion(o.Version), binary: binary,
		dir: dir, remove: remove, spawn: newSpawner(),
	}
	if err := c.startAll(); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) startAll() error {
	if c.opts.PeerProxied {
		c.hub = newPeerHub()
	}
	for i := range c.opts.Members {
		m, err := newMember(c, i)
		if m != nil {
			c.members = append(c.members, m) // even a half-made one, which Stop has to end
		}
		if err != nil {
			return fmt.Errorf("etcdtest: %w", err)
		}
	}
	if c.hub != nil {
		if err := c.hub.open(c.members); err != nil {
			return fmt.Errorf("etcdtest: %w", err)
		}
	}
	for _, m := range c.members {
		if err := m.start(); err != nil {
			return fmt.Errorf("etcdtest: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	if err := c.WaitHealthy(ctx); err != nil {
		var logs strings.Builder
		for _, m := range c.members {
			fmt.Fprintf(&logs, "\nlast lines of %s's log:\n%s", m.Name, m.LogTail())
		}
		return fmt.Errorf("%w%s", err, &logs)
	}
	return nil
}

// Stop kills all members, frozen ones too, and removes all files of the cluster. Stopping twice is
// harmless.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	for _, p := range c.extras {
		p.kill()
	}
	for _, m := range c.members {
		m.close()
	}
	if c.hub != nil {
		c.hub.close()
	}
	c.spawn.close()
	return c.remove()
}

// Members returns the members in the order of their names, m0, m1, ...
func (c *Cluster) Members() []*Member { return c.members }

// Version is the minor version of the servers, such as "3.7".
func (c *Cluster) Version() string { return c.version }

// Endpoints returns each member's client address, "127.0.0.1:port".
func (c *Cluster) Endpoints() []string {
	var eps []string
	for _, m := range c.members {
		eps = append(eps, m.Endpoint)
	}
	return eps
}

// WaitHealthy waits until every running member is healthy: it knows a leader and serves a
// linearizable read.
func (c *Cluster) WaitHealthy(ctx context.Context) error {
	for _, m := range c.members {
		if !m.Running() {
			continue
		}
		if err := m.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Leader waits until exactly one running member says that it leads, and returns that member. The
// test fails if that takes longer than a minute.
func (c *Cluster) Leader(t testing.TB) *Member {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	leader, err := c.FindLeader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return leader
}

// FindLeader is Leader for callers without a test.
func (c *Cluster) FindLeader(ctx context.Context) (*Member, error) {
	var leader *Member
	err := poll(ctx, func(ctx context.Context) error {
		leader = nil
		leaders := 0
		for _, m := range c.members {
			if !m.Running() {
				continue
			}
			is, err := m.isLeader(ctx)
			if err == nil && is {
				leader = m
				leaders++
			}
		}
		// A former leader that was cut off or frozen needs a moment to learn that it does not lead
		// any more.
		if leaders != 1 {
			return fmt.Errorf("%d members say they lead", leaders)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("etcdtest: find the leader: %w", err)
	}
	return leader, nil
}

// Followers returns all members but the leader, in order, including those that do not run.
func (c *Cluster) Followers(t testing.TB) []*Member {
	t.Helper()
	leader := c.Leader(t)
	var rest []*Member
	for _, m := range c.members {
		if m != leader {
			rest = append(rest, m)
		}
	}
	return rest
}

// Join makes one more member, with addresses of its own, and does not start it. A client adds the
// member's PeerURL to the cluster first; then Restart starts it.
func (c *Cluster) Join() (*Member, error) {
	m, err := newMember(c, len(c.members))
	if err != nil {
		return nil, err
	}
	m.joins = true
	c.members = append(c.members, m)
	return m, nil
}

// initialCluster is the value of the server's flag of that name.
func (c *Cluster) initialCluster() string {
	var parts []string
	for _, m := range c.members {
		parts = append(parts, m.Name+"="+m.PeerURL)
	}
	return strings.Join(parts, ",")
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

// holdPorts reserves n ports, or none.
func holdPorts(n int) ([]*faultnet.Port, error) {
	var ports []*faultnet.Port
	for range n {
		p, err := faultnet.HoldPort()
		if err != nil {
			for _, p := range ports {
				p.Release()
			}
			return nil, err
		}
		ports = append(ports, p)
	}
	return ports, nil
}
