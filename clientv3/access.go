package clientv3

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// This file is how the services reach what the client holds. The receivers may be
// nil, because the New...From...Client constructors accept a nil client.

// connected reports that there are members to talk to.
func (c *Client) connected() bool { return c != nil && c.link != nil }

// over reports that nothing can be sent over the client any more.
func (c *Client) over() bool { return c.connected() && c.link.conn.Over() }

// conns is the connection for generated clients.
func (c *Client) conns() grpc.ClientConnInterface {
	if !c.connected() {
		return noConn{}
	}
	return c.link.conn
}

// callOptions are those that Config sets for every call; ours go with the
// connection, so another client's connection needs them per call.
func (c *Client) callOptions() []grpc.CallOption {
	if c == nil || c.link == nil {
		return nil
	}
	return []grpc.CallOption{
		grpc.WaitForReady(!c.cfg.FailFast),
		grpc.MaxCallSendMsgSize(c.cfg.MaxCallSendMsgSize),
		grpc.MaxCallRecvMsgSize(c.cfg.MaxCallRecvMsgSize),
	}
}

func (c *Client) logger() *zap.Logger {
	if c == nil {
		return zap.NewNop()
	}
	return c.log
}

// spawn runs f in the background; it reports false after Close.
func (c *Client) spawn(f func(context.Context)) bool {
	if c == nil {
		go f(context.Background())
		return true
	}
	return c.group.Go(f)
}

// withValues gives ctx the values (metadata above all) of the client's context.
func (c *Client) withValues(ctx context.Context) context.Context {
	if c == nil {
		return ctx
	}
	return valuesOf{ctx, c.ctx}
}

type valuesOf struct {
	context.Context
	values context.Context
}

func (v valuesOf) Value(key any) any {
	if x := v.Context.Value(key); x != nil {
		return x
	}
	return v.values.Value(key)
}

// noConn is the connection of a client that has none.
type noConn struct{}

var errNoConn = errors.New("the client was made without a connection")

func (noConn) Invoke(_ context.Context, method string, _, _ any, _ ...grpc.CallOption) error {
	return &etcderr.Error{Method: etcderr.ShortMethod(method), Status: codes.FailedPrecondition, Cause: errNoConn, Unexecuted: true}
}

func (n noConn) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, n.Invoke(ctx, method, nil, nil, opts...)
}

// RetryKVClient returns a protobuf client over the client's connection, with its
// picking and its repetitions.
func RetryKVClient(c *Client) pb.KVClient { return pb.NewKVClient(c.conns()) }

// RetryLeaseClient is like RetryKVClient.
func RetryLeaseClient(c *Client) pb.LeaseClient { return pb.NewLeaseClient(c.conns()) }

// RetryClusterClient is like RetryKVClient.
func RetryClusterClient(c *Client) pb.ClusterClient { return pb.NewClusterClient(c.conns()) }

// RetryAuthClient is like RetryKVClient.
func RetryAuthClient(c *Client) pb.AuthClient { return pb.NewAuthClient(c.conns()) }

// RetryMaintenanceClient is like RetryKVClient; with a conn of its own it uses that
// one as it is.
func RetryMaintenanceClient(c *Client, conn *grpc.ClientConn) pb.MaintenanceClient {
	if conn != nil {
		return pb.NewMaintenanceClient(conn)
	}
	return pb.NewMaintenanceClient(c.conns())
}

// MemberState is what the client knows of one endpoint.
type MemberState struct {
	Endpoint string
	// State is "connecting" (no connection), "healthy", "stalled" (alive, but calls do
	// not finish: no leader, no quorum, defragmenting, a learner) or "ejected" (does not
	// answer; it is used again when it does, or a fresh connection to it does).
	State   string
	Since   time.Time     // when State began
	Latency time.Duration // of recent short calls; 0 if there was none
	LastErr error         // why it is not healthy; nil if it is
	ID      uint64        // etcd's id of the member; 0 if not known yet
}

// MemberStates describes the endpoints as the client sees them now.
func (c *Client) MemberStates() []MemberState {
	if !c.connected() {
		return nil
	}
	states := c.link.set.States()
	list := make([]MemberState, len(states))
	for i, s := range states {
		list[i] = MemberState{Endpoint: s.Endpoint, State: s.State.String(), Since: s.Since, Latency: s.Latency, LastErr: s.Err, ID: s.ID}
	}
	return list
}
