package clientv3

import (
	"context"
	"errors"

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

// conns is the connection for generated clients. It is not inlined: its copies made programs
// larger.
//
//go:noinline
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
	return &etcderr.Error{
		Method:     etcderr.ShortMethod(method),
		Status:     codes.FailedPrecondition,
		Cause:      errNoConn,
		Unexecuted: true,
	}
}

func (n noConn) NewStream(
	ctx context.Context,
	_ *grpc.StreamDesc,
	method string,
	opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return nil, n.Invoke(ctx, method, nil, nil, opts...)
}
