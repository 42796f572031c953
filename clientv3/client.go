package clientv3

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead-go/fairlead/internal/auth"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/balancer"
	"github.com/fairlead-go/fairlead/internal/endpoint"
	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/pool"
	"github.com/fairlead-go/fairlead/internal/retry"
	"github.com/fairlead-go/fairlead/internal/transport"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// Client is a client of one etcd cluster. It is made by [New], is safe for concurrent use and
// should be shared; [Client.Close] releases what it holds. The embedded interfaces may be replaced,
// before the client is shared, to change what its methods do.
type Client struct {
	Cluster
	KV
	Lease
	Watcher
	Auth
	Maintenance

	// Username, Password and Token are those of the Config; changing them has no
	// effect.
	Username string
	Password string
	Token    string

	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	group  *worker.Group // everything that runs in the background
	keeper *auth.Keeper  // nil without authentication
	link   *link         // nil for a client without a connection
	names  *names        // of the endpoints; nil as link
	lg     *atomic.Pointer[zap.Logger]
	log    *zap.Logger

	watches Watcher // the ones that New made; the fields may have been replaced
	leases  Lease

	sides *pool.Pool[*link] // to endpoints besides the client's own

	mu        sync.Mutex
	endpoints []string      // guarded by mu; as the user wrote them
	closed    bool          // guarded by mu
	closing   chan struct{} // closed when Close has done all

	leading struct {
		_      [0]func() // not comparable, see balancer.conn
		mu     sync.Mutex
		asked  time.Time
		member *balancer.Member
	}
}

// New makes a client. It does not wait for a connection, not even with grpc.WithBlock. With a user
// name it waits for the first token, unless [Config.LazyLogin] is set, and with
// [Config.RejectOldCluster] for the servers' versions, at most for [Config.DialTimeout]; after that
// the error is context.DeadlineExceeded and the log says why. With [Config.FailFast] it fails at
// once instead. A mistake in the configuration is an error: [ErrNoAvailableEndpoints],
// [ErrMutuallyExclusiveCfg], or one with code InvalidArgument that says what is wrong.
func New(cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	endpoints, err := endpoint.ParseAll(cfg.Endpoints)
	if err != nil {
		return nil, etcderr.Invalid("", "%v", err)
	}
	lg, err := newLogger(&cfg)
	if err != nil {
		e := etcderr.Invalid("", "LogConfig: %v", err)
		e.Cause = err
		return nil, e
	}
	c := newClient(cfg.Context)
	c.cfg = cfg
	c.Username, c.Password, c.Token = cfg.Username, cfg.Password, cfg.Token
	c.endpoints = slices.Clone(cfg.Endpoints)
	c.lg.Store(lg)
	c.keeper = c.newKeeper()
	c.names = newNames(c)
	c.names.set(endpoints)
	c.mu.Lock() // what the names stand for may be found before this has returned
	c.link, err = c.newLink(endpoints, c.names)
	c.mu.Unlock()
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	c.Cluster = NewCluster(c)
	c.KV = NewKV(c)
	c.Lease = NewLease(c)
	c.Watcher = NewWatcher(c)
	c.Auth = NewAuth(c)
	c.Maintenance = NewMaintenance(c)
	c.watches, c.leases = c.Watcher, c.Lease
	if err := c.greet(); err != nil {
		_ = c.Close()
		return nil, err
	}
	if cfg.AutoSyncInterval > 0 {
		c.group.Go(c.autoSync)
	}
	return c, nil
}

// NewFromURL makes a client of one endpoint.
func NewFromURL(url string) (*Client, error) { return New(Config{Endpoints: []string{url}}) }

// NewFromURLs makes a client of several endpoints.
func NewFromURLs(urls []string) (*Client, error) { return New(Config{Endpoints: urls}) }

// Option changes a client made by [NewCtxClient].
type Option func(*Client)

// NewCtxClient makes a client without a connection, for programs that set its
// interfaces themselves.
func NewCtxClient(ctx context.Context, opts ...Option) *Client {
	if ctx == nil {
		ctx = context.Background()
	}
	c := newClient(ctx)
	c.lg.Store(zap.NewNop())
	for _, o := range opts {
		if o != nil {
			o(c)
		}
	}
	return c
}

// WithZapLogger sets the logger of a client made by [NewCtxClient].
func WithZapLogger(lg *zap.Logger) Option {
	return func(c *Client) { c.WithLogger(lg) }
}

func newClient(parent context.Context) *Client {
	c := &Client{lg: &atomic.Pointer[zap.Logger]{}, sides: newSides(), closing: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(parent)
	// Not ended by the parent: a context that was meant for dialling must not take
	// the renewal of tokens with it.
	c.group = worker.New(context.WithoutCancel(parent))
	c.log = limited(c.lg)
	return c
}

// greetWait is the wait before New asks again.
var greetWait = backoff.Policy{Base: 100 * time.Millisecond, Max: time.Second}

// greet does what New waits for. If its time is bounded it uses all of it, whatever
// keeps the members from answering: they may be about to be set right.
func (c *Client) greet() error {
	ctx := c.ctx
	if c.cfg.DialTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.DialTimeout)
		defer cancel()
	}
	_, bounded := ctx.Deadline()
	for n := 0; ; n++ {
		err := c.hello(ctx)
		if bounded && !c.cfg.FailFast && unreached(err) {
			if backoff.Sleep(ctx, greetWait.Wait(n)) == nil {
				continue
			}
			err = ctx.Err()
		}
		if errors.Is(err, context.DeadlineExceeded) { // a bare value, since programs compare it; so the log says why
			c.log.Warn("no member answered in the time that New has", zap.String("members", c.link.set.Explain()))
			return context.DeadlineExceeded
		}
		return err
	}
}

// unreached reports that a call was not made because no member could be used.
func unreached(err error) bool {
	return SafeToRetry(err) && etcderr.Code(err) == codes.Unavailable && etcderr.Known(err) == nil
}

// hello tries once.
func (c *Client) hello(ctx context.Context) error {
	if c.keeper != nil && !c.cfg.LazyLogin {
		if err := c.keeper.Ensure(ctx); err != nil {
			return etcderr.From(ctx, err)
		}
	}
	if c.cfg.RejectOldCluster {
		return c.checkVersions(ctx)
	}
	return nil
}

// checkVersions fails if a member that answers is too old; one answer is enough, so it
// waits for none that cannot be reached.
func (c *Client) checkVersions(ctx context.Context) error {
	eps := c.Endpoints()
	answers := make(chan error, len(eps))
	for _, ep := range eps {
		if !c.group.Go(func(context.Context) {
			r, err := c.Maintenance.Status(WithFailFast(ctx), ep)
			if err == nil && before(r.Version, oldestMinor, 0) {
				err = ErrOldCluster
			}
			answers <- err
		}) {
			answers <- etcderr.Closed("Maintenance.Status")
		}
	}
	var failure error
	good := false
	for range eps {
		switch err := <-answers; err {
		case nil:
			good = true
		case ErrOldCluster:
			return err
		default:
			failure = err
		}
	}
	if good {
		return nil
	}
	return failure
}

// oldest is the first version (3.x) that this client is tested with.
const oldestMinor = 4

// before reports that the version is before 3.minor.patch, or none that etcd has.
func before(version string, minor, patch int) bool {
	for _, least := range [3]int{3, minor, patch} {
		first, rest, _ := strings.Cut(version, ".")
		n, err := strconv.Atoi(first)
		if n != least || err != nil {
			return n < least || err != nil
		}
		version = rest
	}
	return false
}

// Close ends the client: all calls, watches and renewals. It returns when all its
// goroutines have ended. Closing again does nothing and returns nil. A client made by
// [NewCtxClient] has nothing to close but its context, whose error it returns.
func (c *Client) Close() error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if !first {
		<-c.closing
		return c.ended()
	}
	defer close(c.closing)
	if c.link != nil {
		c.link.conn.Shut()
	}
	c.cancel()
	var err error
	for _, e := range []interface{ Close() error }{c.Watcher, c.Lease, c.watches, c.leases} {
		if e != nil {
			err = errors.Join(err, e.Close())
		}
	}
	if c.link != nil {
		c.link.close()
	}
	c.sides.Close()
	c.group.Stop()
	if err != nil {
		return err
	}
	return c.ended()
}

// ended is what Close returns for a client without a connection.
func (c *Client) ended() error {
	if c.connected() {
		return nil
	}
	return c.ctx.Err()
}

// Ctx ends when the client is closed.
func (c *Client) Ctx() context.Context { return c.ctx }

// Endpoints returns the endpoints, as they were given.
func (c *Client) Endpoints() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.endpoints)
}

// SetEndpoints replaces the endpoints, as [Client.UpdateEndpoints] does. What that refuses is
// logged and changes nothing.
func (c *Client) SetEndpoints(eps ...string) {
	if err := c.UpdateEndpoints(eps...); err != nil {
		c.log.Warn("endpoints refused", zap.Strings("endpoints", eps), zap.Error(err))
	}
}

// UpdateEndpoints replaces the endpoints. Connections to those that stay are kept;
// watches and renewals on those that go move to the others. An empty list is
// [ErrNoAvailableEndpoints], and one with a mistake is an error too; then nothing
// changes.
func (c *Client) UpdateEndpoints(eps ...string) error {
	if len(eps) == 0 {
		return ErrNoAvailableEndpoints
	}
	list, err := endpoint.ParseAll(eps)
	if err != nil {
		return etcderr.Invalid("", "%v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return etcderr.Closed("")
	}
	c.endpoints = slices.Clone(eps)
	if c.link != nil {
		c.link.set.SetEndpoints(c.names.set(list))
	}
	return nil
}

// Sync replaces the endpoints with the client URLs of the cluster's members, without
// learners and members that have not started yet.
func (c *Client) Sync(ctx context.Context) error {
	resp, err := c.MemberList(ctx)
	if err != nil {
		return err
	}
	var eps []string
	for _, m := range resp.Members {
		if m.Name != "" && !m.IsLearner {
			eps = append(eps, m.ClientURLs...)
		}
	}
	return c.UpdateEndpoints(eps...)
}

// autoSyncTimeout bounds one Sync of AutoSyncInterval.
const autoSyncTimeout = 5 * time.Second

func (c *Client) autoSync(ctx context.Context) {
	t := time.NewTicker(c.cfg.AutoSyncInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.ctx.Done():
			return
		case <-t.C:
		}
		sctx, cancel := context.WithTimeout(ctx, autoSyncTimeout)
		err := c.Sync(sctx)
		cancel()
		if err != nil && ctx.Err() == nil {
			c.log.Warn("endpoints could not be synchronized", zap.Error(err))
		}
	}
}

// Dial connects to one endpoint with the client's configuration. The connection
// belongs to the caller; it is gRPC's own, without the client's members and
// retries.
func (c *Client) Dial(ep string) (*grpc.ClientConn, error) {
	e, err := endpoint.Parse(ep)
	if err != nil {
		return nil, etcderr.Invalid("", "%v", err)
	}
	secure := transport.CredentialsFor(e, c.tlsFor(e), c.cfg.roots)
	opts := append([]grpc.DialOption{
		grpc.WithAuthority(e.Authority()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(c.cfg.MaxCallRecvMsgSize)),
	}, c.dialOptions(secure, false)...)
	return grpc.NewClient("passthrough:///"+e.Target(), opts...)
}

// ActiveConnection returns gRPC's connection over all members, nil for a client
// without one. Calls on it pick members as the client does, but are neither
// repeated nor hedged; if a server refuses the token of one, the client logs in
// and it is made again. Each stream on it begins with a login.
func (c *Client) ActiveConnection() *grpc.ClientConn {
	if c.link == nil {
		return nil
	}
	return c.link.raw
}

// GetLogger returns the logger.
func (c *Client) GetLogger() *zap.Logger { return c.lg.Load() }

// WithLogger replaces the logger and returns the client.
//
// Deprecated: use [Config.Logger] or [WithZapLogger].
func (c *Client) WithLogger(lg *zap.Logger) *Client {
	if lg == nil {
		lg = zap.NewNop()
	}
	c.lg.Store(lg)
	return c
}

// WithRequireLeader returns a context whose requests fail on a member that has no
// leader, instead of being answered from what that member knows.
func WithRequireLeader(ctx context.Context) context.Context {
	md, ok := metadata.FromOutgoingContext(ctx)
	if !ok {
		md = metadata.MD{}
	}
	md.Set(rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader)
	return metadata.NewOutgoingContext(ctx, md)
}

// WithFailFast returns a context whose requests fail at once when no member is
// available, as with [Config.FailFast].
func WithFailFast(ctx context.Context) context.Context { return retry.WithFailFast(ctx) }

// WithRepeat returns a context whose writes are repeated like reads, even when an earlier attempt
// may have been executed, or may yet be; a put, or a delete of one key, is sent to a second member
// when the first takes unusually long, half a second at least. That is right for a transaction
// guarded by a comparison of a revision (if an earlier attempt was executed, the repetition does
// not succeed, and a read shows which it was), and for a put or delete only where the caller is the
// key's sole writer: a lost attempt can take effect after the repetition and after other writers.
func WithRepeat(ctx context.Context) context.Context { return retry.WithRepeat(ctx) }

// WithEarlyDoubt returns a context whose writes fail at once when their member has fallen silent,
// or does not finish calls, and other members could take them. Without it a write stays until it is
// answered or its connection is proved dead, some seconds. A write that fails so may have been
// executed: it is not repeated, and [OutcomeUnknown] is true for its error. That is right for a
// caller who finds out by itself what came of the write and goes on, as a lock does with its key.
func WithEarlyDoubt(ctx context.Context) context.Context { return retry.WithEarlyDoubt(ctx) }

// WithRepeatWhile returns a context whose calls are repeated, after an attempt that failed and may
// be repeated, only while needed returns true. It is for a call on behalf of several callers, one
// of which may be gone before the context ends. needed is asked before each repetition, from the
// goroutine of the call; it must return at once. The first attempt is made in any case. Streams and
// watches do not ask.
func WithRepeatWhile(ctx context.Context, needed func() bool) context.Context {
	return retry.WithRepeatWhile(ctx, needed)
}
