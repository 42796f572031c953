// Package server runs one etcd member inside this process, for the development cluster and for the
// demonstration's child processes.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// Spec describes a member. The demonstration sends it to its children as JSON.
type Spec struct {
	Name       string
	Dir        string // data directory
	ClientAddr string // "127.0.0.1:port"
	PeerAddr   string // where it listens for peers
	PeerURL    string // what it advertises to peers: "http://" + PeerAddr, except after a move of a single member
	Cluster    string // NAME=PEERURL,... of all members
	Token      string
	LogFile    string
	LogLevel   string // "info" if empty
	LogStderr  bool   // log to standard error too
	NoFsync    bool   // for data that are not kept

	HeartbeatMS, ElectionMS uint // etcd's defaults if zero
}

// Member is a running member. Its methods may be called from several goroutines.
type Member struct{ etcd *embed.Etcd }

// Start starts a member and returns before it is ready. On an error nothing is left running.
func Start(s Spec) (*Member, error) {
	cfg, err := s.config()
	if err != nil {
		return nil, err
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, fmt.Errorf("start member %s: %w", s.Name, err)
	}
	return &Member{e}, nil
}

func (s Spec) config() (*embed.Config, error) {
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = s.Name, s.Dir
	var err error
	set := func(to *[]url.URL, text string) {
		u, e := url.Parse(text)
		if e != nil {
			err = errors.Join(err, e)
			return
		}
		*to = []url.URL{*u}
	}
	set(&cfg.ListenClientUrls, "http://"+s.ClientAddr)
	set(&cfg.AdvertiseClientUrls, "http://"+s.ClientAddr)
	set(&cfg.ListenPeerUrls, "http://"+s.PeerAddr)
	set(&cfg.AdvertisePeerUrls, s.PeerURL)
	cfg.InitialCluster, cfg.InitialClusterToken = s.Cluster, s.Token
	cfg.LogLevel = "info"
	if s.LogLevel != "" {
		cfg.LogLevel = s.LogLevel
	}
	cfg.LogOutputs = []string{s.LogFile}
	if s.LogStderr {
		cfg.LogOutputs = append(cfg.LogOutputs, "stderr")
	}
	cfg.UnsafeNoFsync = s.NoFsync
	if s.HeartbeatMS > 0 {
		cfg.TickMs = s.HeartbeatMS
	}
	if s.ElectionMS > 0 {
		cfg.ElectionMs = s.ElectionMS
	}
	return cfg, err
}

// WaitReady waits until the member has joined the cluster and serves clients.
func (m *Member) WaitReady(ctx context.Context) error {
	select {
	case <-m.etcd.Server.ReadyNotify():
		return nil
	case err := <-m.etcd.Err():
		return err
	case <-m.etcd.Server.StopNotify():
		return errors.New("the member has stopped")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Err returns a channel for the error that ends the member by itself.
func (m *Member) Err() <-chan error { return m.etcd.Err() }

// closeGrace is how long Stop waits for clients to close their connections. Etcd gives them seven
// seconds, and watches use all of it, since they never end by themselves.
const closeGrace = 500 * time.Millisecond

// Stop ends the member; when it returns, the data are complete and closed. It does not transfer the
// leadership first, which takes seconds, and is useless when all members end together. Connections
// that clients keep open last until the process ends, so Stop is for processes that end.
func (m *Member) Stop() {
	m.etcd.Server.HardStop()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		m.etcd.Close()
	}()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-closed:
	case <-grace.C:
	}
}

// FreeAddr finds a free address on loopback and reserves it until release is called, right before
// its use.
func FreeAddr() (addr string, release func(), err error) { return reserve("127.0.0.1:0") }

// ReserveAddr is FreeAddr for a given address; it fails if another program listens there.
func ReserveAddr(addr string) (release func(), err error) {
	_, release, err = reserve(addr)
	return release, err
}

func reserve(addr string) (string, func(), error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", nil, err
	}
	return l.Addr().String(), func() { l.Close() }, nil
}
