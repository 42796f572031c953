package clientv3

import (
	"context"
	"crypto/tls"
	"math"
	"math/rand/v2"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/fairlead-go/fairlead/internal/auth"
	"github.com/fairlead-go/fairlead/internal/balancer"
	"github.com/fairlead-go/fairlead/internal/endpoint"
	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/pool"
	"github.com/fairlead-go/fairlead/internal/retry"
	"github.com/fairlead-go/fairlead/internal/transport"
	"github.com/fairlead-go/fairlead/internal/wire"
)

// link is a connection to a set of members: gRPC's connection, our members behind
// it and our attempts in front of it. A client has one for its endpoints, and one
// for each other endpoint that maintenance was asked to talk to.
type link struct {
	set  *balancer.Set
	raw  *grpc.ClientConn
	conn *retry.Conn
}

const (
	// reconnect bounds how long a member that came back stays unnoticed; a refused
	// connection costs a packet each way.
	reconnectBase = 100 * time.Millisecond
	reconnectMax  = time.Second
	// The flow control windows: what a server may send ahead of a reader, 40 MB/s for a
	// stream over a link of 100 ms. gRPC would measure the link instead, with a ping for
	// every burst of data, which costs both sides more than it gains with etcd's short
	// answers.
	streamWindow = 4 << 20
	connWindow   = 8 << 20
	// handshakeTimeout is for TCP, TLS and HTTP/2 together.
	handshakeTimeout = 5 * time.Second
)

// dialOptions are gRPC's options for any connection of the client.
func (c *Client) dialOptions(secure credentials.TransportCredentials, wait bool) []grpc.DialOption {
	opts := []grpc.DialOption{
		grpc.WithContextDialer(transport.Dial),
		grpc.WithTransportCredentials(secure),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay:  reconnectBase,
				Multiplier: 1.6,
				Jitter:     0.2,
				MaxDelay:   reconnectMax,
			},
			MinConnectTimeout: handshakeTimeout,
		}),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithIdleTimeout(0), // watches over members do not stop because nothing is called
		grpc.WithDefaultCallOptions(
			grpc.WaitForReady(wait),
			grpc.ForceCodecV2(wire.Codec{}),
		),
	}
	if c.cfg.DialKeepAliveTime > 0 {
		opts = append(opts, grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: c.cfg.DialKeepAliveTime, Timeout: c.cfg.DialKeepAliveTimeout,
			PermitWithoutStream: c.cfg.PermitWithoutStream,
		}))
	}
	if c.keeper != nil {
		opts = append(opts, grpc.WithPerRPCCredentials(retry.Credentials(c.keeper)))
		opts = append(opts, retry.Outside(c.keeper)...)
	}
	if len(c.cfg.DialOptions) == 0 {
		return opts
	}
	// The sizes are Config's, whatever these options say. Our calls keep to the one for requests
	// before gRPC sees them; without these options the service config bounds responses, which saves
	// an allocation per call.
	return append(append(opts, c.cfg.DialOptions...), grpc.WithDefaultCallOptions(
		grpc.MaxCallSendMsgSize(math.MaxInt32),
		grpc.MaxCallRecvMsgSize(c.cfg.MaxCallRecvMsgSize),
	))
}

// tlsFor is the TLS configuration for connections to endpoints, nil if none is needed: https
// endpoints of a client without one trust the system's certificate authorities.
func (c *Client) tlsFor(endpoints ...endpoint.Endpoint) *tls.Config {
	for _, e := range endpoints {
		if c.cfg.TLS == nil && e.Security == endpoint.Secure {
			return &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	return c.cfg.TLS
}

// newLink connects to endpoints, in the background. n, if it is not nil, is
// notified of what lookups of their names find.
func (c *Client) newLink(endpoints []endpoint.Endpoint, n *names) (*link, error) {
	secure := c.tlsFor(endpoints...)
	cfg := balancer.Config{
		StreamProbeAfter: c.cfg.StreamProbeInterval, ProbeTimeout: c.cfg.ProbeTimeout,
		SilenceLimit: c.cfg.SilenceLimit, StallTimeout: c.cfg.StallTimeout,
		FirstConnect: c.cfg.DialTimeout, MaxRecv: c.cfg.MaxCallRecvMsgSize, TLS: secure != nil,
		Observe: c.observeMember(), Log: c.log,
	}
	if n != nil {
		cfg.Found = n.dialled
	}
	if c.keeper != nil {
		cfg.Token = c.keeper.GiveUp
	}
	set := balancer.New(cfg, endpoints)
	opts := append([]grpc.DialOption{
		grpc.WithResolvers(set.Resolver()),
		grpc.WithDefaultServiceConfig(balancer.ServiceConfig(c.cfg.MaxCallRecvMsgSize)),
	}, c.dialOptions(transport.Credentials(secure, c.cfg.roots), !c.cfg.FailFast)...)
	raw, err := grpc.NewClient(balancer.Scheme+":///etcd", opts...)
	if err != nil {
		set.Close()
		return nil, &etcderr.Error{Status: codes.InvalidArgument, Cause: err}
	}
	raw.Connect() // so that the first call need not wait for it
	limits := retry.Limits{MaxRetries: c.cfg.MaxUnaryRetries}
	if w := c.cfg.BackoffWaitBetween; w > 0 {
		limits.Wait = func(int) time.Duration {
			f := c.cfg.BackoffJitterFraction
			if f == 0 {
				f = 0.1
			}
			return time.Duration(float64(w) * (1 + f*(2*rand.Float64()-1)))
		}
	}
	return &link{set: set, raw: raw, conn: retry.New(retry.Config{
		Raw: raw, Set: set, Auth: c.keeper, Group: c.group, Limits: limits, MaxSend: c.cfg.MaxCallSendMsgSize,
		Observe: c.observeAttempt(), Log: c.log,
	})}, nil
}

// close ends the connection; calls and streams on it fail.
func (l *link) close() {
	l.conn.Shut()
	_ = l.raw.Close() // its one error is that somebody closed it before
	l.set.Close()
}

// login fetches a token.
func (c *Client) login(ctx context.Context) (string, error) {
	resp, err := pb.NewAuthClient(c.link.conn).
		Authenticate(ctx, &pb.AuthenticateRequest{Name: c.Username, Password: c.Password})
	if err != nil {
		return "", err
	}
	return resp.Token, nil
}

// newKeeper returns the keeper that a configuration asks for, nil for none.
func (c *Client) newKeeper() *auth.Keeper {
	switch {
	case c.cfg.Token != "":
		return auth.Static(c.cfg.Token)
	case c.cfg.Username != "" && c.cfg.Password != "":
		k := auth.New(c.group, c.login)
		k.FailFast = c.cfg.FailFast
		return k
	}
	return nil
}

// sideLimits say which endpoints besides the client's own stay connected when nothing is asked of
// them: as many as a large cluster has, and for as long as somebody may look at it again.
var sideLimits = pool.Limits{Idle: 32, For: time.Minute}

// newSides returns the links to endpoints besides the client's own.
func newSides() *pool.Pool[*link] {
	return pool.New(sideLimits, (*link).close)
}

// linkTo returns the link for one endpoint and the member on it. done is called when neither is
// needed any more.
func (c *Client) linkTo(raw string) (l *link, m *balancer.Member, done func(), err error) {
	e, err := endpoint.Parse(raw)
	if err != nil {
		return nil, nil, nil, etcderr.Invalid("", "%v", err)
	}
	if m := c.link.set.Find(e); m != nil {
		return c.link, m, func() {}, nil
	}
	l, done, err = c.sides.Take(raw, func() (*link, error) { return c.newLink([]endpoint.Endpoint{e}, nil) })
	switch err {
	case nil:
		return l, l.set.Members()[0], done, nil
	case pool.ErrClosed:
		err = etcderr.Closed("")
	}
	return nil, nil, nil, err
}

// maintenanceAt returns the maintenance client for one endpoint.
func (c *Client) maintenanceAt(ep string) (memberClient, error) {
	if !c.connected() {
		return memberClient{pb.NewMaintenanceClient(c.conns()), noPin, func() {}}, nil
	}
	l, m, done, err := c.linkTo(ep)
	if err != nil {
		return memberClient{}, err
	}
	return memberClient{
		pb.NewMaintenanceClient(l.conn),
		func(ctx context.Context) context.Context { return retry.Pin(ctx, m) },
		done,
	}, nil
}
