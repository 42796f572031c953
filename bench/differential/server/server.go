// Package server is the ground under both clients: one etcd cluster for each. It inspects a
// cluster and resets it to the same state without either client.
package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// Root is the user that manages servers with authentication.
const (
	Root         = "root"
	RootPassword = "rootpw"
)

// timeout bounds each request to a server, which answers within milliseconds.
const timeout = 30 * time.Second

// Server is a cluster that is accessed through its first member.
type Server struct {
	Cluster *etcdtest.Cluster
	// Fault inflicts a named fault on the cluster, for a step of a program; nil if there are none.
	Fault func(name string) error
	// Fixed means that the cluster has no quorum, so nothing changes and nothing can be written.
	Fixed bool
	// Frozen means that the member is frozen and does not answer.
	Frozen bool

	auth        bool
	conn        *grpc.ClientConn
	kv          pb.KVClient
	lease       pb.LeaseClient
	access      pb.AuthClient
	watch       pb.WatchClient
	maintenance pb.MaintenanceClient
	events      *history

	mu    sync.Mutex
	token string // of root; guarded by mu
}

// Start starts a cluster. With auth, authentication is enabled.
func Start(o etcdtest.Options, auth bool) (*Server, error) {
	c, err := etcdtest.StartMain(o)
	if err != nil {
		return nil, err
	}
	s := &Server{Cluster: c, auth: auth}
	if err := s.connect(); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) connect() error {
	conn, err := grpc.NewClient(s.Cluster.Members()[0].Direct, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		return err
	}
	s.conn = conn
	s.kv, s.lease = pb.NewKVClient(conn), pb.NewLeaseClient(conn)
	s.access, s.watch = pb.NewAuthClient(conn), pb.NewWatchClient(conn)
	s.maintenance = pb.NewMaintenanceClient(conn)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if s.auth {
		if err := s.enableAuth(ctx); err != nil {
			return err
		}
	}
	rev, err := s.Revision(ctx)
	if err != nil {
		return err
	}
	s.events = s.record(rev + 1)
	return nil
}

// Stop ends the cluster.
func (s *Server) Stop() error {
	if s.events != nil {
		s.events.close()
	}
	if s.conn != nil {
		s.conn.Close()
	}
	return s.Cluster.Stop()
}

// Endpoints returns the addresses of all members, or of the first.
func (s *Server) Endpoints(all bool) []string {
	if all {
		return s.Cluster.Endpoints()
	}
	return s.Cluster.Endpoints()[:1]
}

// as adds root's token.
func (s *Server) as(ctx context.Context) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "token", s.token)
}

// Revision returns the store's present revision. It is a serializable read, since some clusters
// have no quorum.
func (s *Server) Revision(ctx context.Context) (int64, error) {
	var r *pb.RangeResponse
	err := s.ask(ctx, func(ctx context.Context) (err error) {
		r, err = s.kv.Range(ctx, &pb.RangeRequest{Key: []byte{0}, Serializable: true, CountOnly: true})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("server: %w", err)
	}
	return r.Header.Revision, nil
}

// ask makes a call as root, and once more if the token has expired.
func (s *Server) ask(ctx context.Context, call func(context.Context) error) error {
	err := call(s.as(ctx))
	if status.Code(err) != codes.Unauthenticated {
		return err
	}
	if err := s.login(ctx); err != nil {
		return err
	}
	return call(s.as(ctx))
}

// Put and Delete write without either client noticing.
func (s *Server) Put(ctx context.Context, key, value string) error {
	return s.ask(ctx, func(ctx context.Context) error {
		_, err := s.kv.Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte(value)})
		return err
	})
}

func (s *Server) Delete(ctx context.Context, key string) error {
	return s.ask(ctx, func(ctx context.Context) error {
		_, err := s.kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte(key)})
		return err
	})
}

// Grant grants a lease with a given id.
func (s *Server) Grant(ctx context.Context, id, ttl int64) error {
	_, err := s.lease.LeaseGrant(s.as(ctx), &pb.LeaseGrantRequest{ID: id, TTL: ttl})
	return err
}

// Leaderless waits until the first member knows that it has no leader.
func (s *Server) Leaderless(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := s.maintenance.Status(ctx, &pb.StatusRequest{})
		if err == nil && r.Leader == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("server: still a leader: %w", ctx.Err())
		}
	}
}

// LeaseGone waits until a lease has ended.
func (s *Server) LeaseGone(ctx context.Context, id int64) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var r *pb.LeaseTimeToLiveResponse
		err := s.ask(ctx, func(ctx context.Context) (err error) {
			r, err = s.lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: id})
			return err
		})
		if err != nil {
			return err
		}
		if r.TTL < 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
