package etcdtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// Member is one server of a cluster. Its addresses stay the same through kill and restart. Its
// methods may be called from several goroutines.
type Member struct {
	Name       string // "m0", "m1", ...
	Endpoint   string // for clients, "127.0.0.1:port": the proxy's if the cluster is Proxied, else Direct
	Direct     string // the server's own client address
	URL        string // Endpoint with its scheme; the member advertises it
	PeerURL    string // the URL that it advertises to its peers
	MetricsURL string // plain HTTP without authentication: /metrics and /health
	DataDir    string
	Socket     string // path of its Unix socket, if Options.Unix

	c          *Cluster
	index      int
	ports      []*faultnet.Port
	clientPort *faultnet.Port
	peerPort   *faultnet.Port // the server's peer port; PeerURL names it unless peers go through proxies
	proxy      *faultnet.Proxy

	// held while a run starts, but never while one ends: that takes seconds, and the peer hub needs
	// the PID meanwhile
	mu     sync.Mutex
	proc   *process // the present or last run; nil before the first
	binary string   // guarded by mu; the server to run, if it is not the cluster's version
	under  []string // guarded by mu; the command that runs the server, see RestartUnder
	joins  bool     // set before the first run: the member joins a cluster that exists already
}

func newMember(c *Cluster, index int) (*Member, error) {
	m := &Member{Name: fmt.Sprintf("m%d", index), c: c, index: index}
	m.DataDir = c.path(m.Name)
	ports, err := holdPorts(3)
	if err != nil {
		return nil, err
	}
	m.ports = ports
	m.clientPort, m.peerPort = ports[0], ports[1]
	m.Direct = m.clientPort.Addr()
	m.Endpoint = m.Direct
	m.PeerURL = "http://" + m.peerPort.Addr()
	m.MetricsURL = "http://" + ports[2].Addr()
	if c.opts.Unix {
		m.Socket = c.path(m.Name + ".sock")
	}
	if c.opts.Proxied {
		if m.proxy, err = faultnet.New(m.Direct); err != nil {
			return m, err
		}
		m.Endpoint = m.proxy.Addr()
	}
	if c.hub != nil {
		front, err := c.hub.front(m)
		if err != nil {
			return m, err
		}
		m.PeerURL = "http://" + front
	}
	m.URL = c.scheme() + "://" + m.Endpoint
	return m, nil
}

func (c *Cluster) scheme() string {
	if c.opts.TLS != nil {
		return "https"
	}
	return "http"
}

func (m *Member) args() []string {
	o := m.c.opts
	listen := m.c.scheme() + "://" + m.Direct
	if m.Socket != "" {
		scheme := "unix"
		if o.TLS != nil {
			scheme = "unixs"
		}
		listen += "," + scheme + "://" + m.socketAddress()
	}
	state := "new"
	if m.joins {
		state = "existing"
	}
	args := []string{
		"--name=" + m.Name,
		"--data-dir=" + m.DataDir,
		"--listen-client-urls=" + listen,
		"--advertise-client-urls=" + m.URL,
		"--listen-peer-urls=http://" + m.peerPort.Addr(),
		"--initial-advertise-peer-urls=" + m.PeerURL,
		"--initial-cluster=" + m.c.initialCluster(),
		"--initial-cluster-state=" + state,
		"--initial-cluster-token=" + m.c.Token(),
		"--listen-metrics-urls=" + m.MetricsURL,
		"--log-level=warn",
		"--logger=zap",
		fmt.Sprintf("--heartbeat-interval=%d", o.Heartbeat/time.Millisecond),
		fmt.Sprintf("--election-timeout=%d", o.Election/time.Millisecond),
	}
	if m.c.version != "3.4" {
		// A test's data need not survive the machine, and the disk is the slowest part of a write.
		args = append(args, "--unsafe-no-fsync")
	}
	if o.TLS != nil {
		args = append(args, "--cert-file="+o.TLS.CertFile, "--key-file="+o.TLS.KeyFile)
		if o.ClientCertAuth {
			args = append(args, "--client-cert-auth", "--trusted-ca-file="+o.TLS.CAFile)
		}
	}
	return append(args, o.Args...)
}

// socketAddress is the socket's name in the server's flags. Version 3.4 insists on "host:port" and
// takes that as a file name in its working directory. A symbolic link (startLocked) leads there
// from the path that clients use.
func (m *Member) socketAddress() string {
	if m.c.version == "3.4" {
		return filepath.Base(m.Socket) + ":0"
	}
	return m.Socket
}

// environment is this process's environment without the variables that configure an etcd server.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "ETCD") {
			env = append(env, kv)
		}
	}
	return env
}

// start runs the server. When start returns, the server is not ready yet.
func (m *Member) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.startLocked()
}

func (m *Member) startLocked() error {
	if m.Socket != "" {
		// A killed server leaves its socket file behind, and the next run could not listen.
		for _, path := range []string{m.Socket, m.Socket + ":0"} {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		if addr := m.socketAddress(); addr != m.Socket {
			if err := os.Symlink(addr, m.Socket); err != nil {
				return err
			}
		}
	}
	command := slices.Concat(m.under, []string{cmp.Or(m.binary, m.c.binary)}, m.args())
	p, err := m.c.spawn.run(command[0], command[1:], environment(), m.c.dir, m.logFile())
	if err != nil {
		return err
	}
	m.proc = p
	return nil
}

func (m *Member) process() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proc
}

// Running reports whether the member's process exists and is not frozen.
func (m *Member) Running() bool {
	p := m.process()
	return p != nil && p.alive() && !p.isFrozen()
}

// PID is the process id of the present or last run, 0 before the first.
func (m *Member) PID() int {
	if p := m.process(); p != nil {
		return p.cmd.Process.Pid
	}
	return 0
}

// Freeze stops the process without ending it (SIGSTOP): the kernel still accepts connections and
// bytes for it, but nothing answers. It fails if the member does not run.
func (m *Member) Freeze() error { return m.process().freeze() }

// Thaw lets a frozen process go on (SIGCONT).
func (m *Member) Thaw() error { return m.process().thaw() }

// Kill ends the process at once, as a crash would, and waits until it is gone. Its data stay.
func (m *Member) Kill() {
	if p := m.process(); p != nil {
		p.kill()
	}
}

// Terminate asks the process to end (SIGTERM) and waits until it has. The server hands over its
// leadership and closes its connections before.
func (m *Member) Terminate() {
	if p := m.process(); p != nil {
		p.terminate()
	}
}

// Restart kills the process if it still runs, and starts a new one on the same data and addresses.
// It does not wait until the new one serves, which may need other members; see WaitReady.
func (m *Member) Restart() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc != nil {
		m.proc.kill()
	}
	return m.startLocked()
}

// RestartUnder is Restart under a command that executes the server, such as env or unshare. The
// command must not fork: Kill and Freeze act on its process. Later runs are without the command
// again.
func (m *Member) RestartUnder(command ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc != nil {
		m.proc.kill()
	}
	m.under = command
	defer func() { m.under = nil }()
	return m.startLocked()
}

// Upgrade ends the process with SIGTERM and starts a server of another version on the same data and
// addresses. etcd can be upgraded by one minor version at a time only.
func (m *Member) Upgrade(version string) error {
	binary, err := Binary(version)
	if err != nil {
		return err
	}
	m.Terminate()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.binary = binary
	return m.startLocked()
}

// Proxy is the proxy in front of the client port, nil unless the cluster is Proxied.
func (m *Member) Proxy() *faultnet.Proxy { return m.proxy }

// WaitReady waits until the member is healthy: it knows a leader and serves a linearizable read. It
// fails when ctx or the process ends.
func (m *Member) WaitReady(ctx context.Context) error {
	p := m.process()
	err := poll(ctx, func(ctx context.Context) error {
		if !p.alive() {
			return &exitedError{p.err}
		}
		return m.healthy(ctx)
	})
	if err != nil {
		return fmt.Errorf("etcdtest: member %s is not ready: %w", m.Name, err)
	}
	return nil
}

// LogTail returns the last lines of the server's log, at most 8 KiB, without those about our health
// checks.
func (m *Member) LogTail() string { return logTail(m.logFile()) }

func logTail(file string) string {
	const limit = 8 << 10
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	var lines strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "etcdhttp/health.go") {
			lines.WriteString(line)
		}
	}
	tail := lines.String()
	return tail[max(0, len(tail)-limit):]
}

func (m *Member) logFile() string { return m.c.path(m.Name + ".log") }

func (m *Member) close() {
	m.Kill()
	if m.proxy != nil {
		m.proxy.Close()
	}
	for _, p := range m.ports {
		p.Release()
	}
}
