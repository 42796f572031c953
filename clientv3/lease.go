package clientv3

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/lease"
	"github.com/fairlead-go/fairlead/internal/retry"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// LeaseID names a lease.
type LeaseID int64

// NoLease is the id of no lease.
const NoLease LeaseID = 0

// MaxLeaseTTL is the longest time to live of a lease, in seconds.
const MaxLeaseTTL = 9000000000

// LeaseResponseChSize is the capacity of the channels that KeepAlive returns. It exists because the
// official client exports it. It must not be changed while leases are kept.
var LeaseResponseChSize = defaultLeaseResponseChSize

const defaultLeaseResponseChSize = 16

// forwardedChSize is the drop-in module's variable, nil if the program has none. It is
// set before main begins.
var forwardedChSize *int

// ForwardLeaseResponseChSize makes *size count like [LeaseResponseChSize]. It is for the drop-in
// module, which has a variable of its own of that name. Once *size is no longer 16 it decides;
// until then LeaseResponseChSize does. Call it from an init function only.
func ForwardLeaseResponseChSize(size *int) { forwardedChSize = size }

// leaseResponseChSize is the capacity of the next channel.
func leaseResponseChSize() int {
	size := LeaseResponseChSize
	if forwardedChSize != nil && *forwardedChSize != defaultLeaseResponseChSize {
		size = *forwardedChSize
	}
	return max(size, 1)
}

// LeaseRevokeResponse is the wire message under a name of this package.
type LeaseRevokeResponse pb.LeaseRevokeResponse

// LeaseGrantResponse describes a new lease.
type LeaseGrantResponse struct {
	*pb.ResponseHeader
	ID    LeaseID
	TTL   int64 // seconds, as the server chose it
	Error string
}

// LeaseKeepAliveResponse is an acknowledged renewal.
type LeaseKeepAliveResponse struct {
	*pb.ResponseHeader
	ID  LeaseID
	TTL int64 // seconds
}

// LeaseTimeToLiveResponse describes a lease.
type LeaseTimeToLiveResponse struct {
	*pb.ResponseHeader
	ID LeaseID `json:"id"`

	// TTL is how many seconds are left; -1 if there is no such lease.
	TTL int64 `json:"ttl"`

	// GrantedTTL is how many seconds a renewal gives.
	GrantedTTL int64 `json:"granted-ttl"`

	// Keys are the attached keys, if WithAttachedKeys asked for them.
	Keys [][]byte `json:"keys"`
}

// LeaseStatus is one lease of a list.
type LeaseStatus struct {
	ID LeaseID `json:"id"`
}

// LeaseLeasesResponse lists leases.
type LeaseLeasesResponse struct {
	*pb.ResponseHeader
	Leases []LeaseStatus `json:"leases"`
}

// ErrKeepAliveHalted is returned by KeepAlive when it cannot keep anything alive,
// for instance after Close.
type ErrKeepAliveHalted struct {
	Reason error
}

// Error says why.
func (e ErrKeepAliveHalted) Error() string {
	if e.Reason == nil {
		return "etcdclient: leases keep alive halted"
	}
	return "etcdclient: leases keep alive halted: " + e.Reason.Error()
}

// Unwrap returns the reason.
func (e ErrKeepAliveHalted) Unwrap() error { return e.Reason }

// Lease grants, renews and revokes leases. All methods are safe for concurrent use
// and honour their context.
type Lease interface {
	// Grant makes a lease that lives for ttl seconds after its last renewal; the
	// server may choose a longer time. It is safe against a lost answer: the client
	// chooses the id and recognizes its own lease.
	Grant(ctx context.Context, ttl int64) (*LeaseGrantResponse, error)

	// Revoke ends a lease and deletes its keys. When it returns, the channels of
	// KeepAlive for it are closed and empty.
	Revoke(ctx context.Context, id LeaseID) (*LeaseRevokeResponse, error)

	// TimeToLive describes a lease. One that does not exist is no error: its TTL is
	// -1.
	TimeToLive(ctx context.Context, id LeaseID, opts ...LeaseOption) (*LeaseTimeToLiveResponse, error)

	// Leases lists all leases.
	Leases(ctx context.Context) (*LeaseLeasesResponse, error)

	// KeepAlive renews a lease three times per TTL until ctx ends or the lease is
	// lost, through another member when one does not answer. The first renewal is sent at
	// once, or up to a second later if the lease was just renewed for another call. The channel
	// gets the server's answers; one that is not read keeps the latest ones. It is closed when
	// ctx ends, when the lease has expired or was revoked, when it could not be
	// renewed for so long that the server may have expired it, and when the client is
	// closed. It is closed before the server can give the lease's keys to anyone
	// else; but if the first renewal has not been answered yet and the grant took about as long
	// as the TTL, only the server can say whether the lease is there, and the channel is closed
	// when it says that it is not, or does not answer in time. A lease that could not be renewed in
	// time is revoked as soon as a member answers, unless KeepAlive or KeepAliveOnce is called for
	// it again: the server may have kept it. If ctx is from WithRequireLeader, the channel is also
	// closed when no reachable member has a leader.
	KeepAlive(ctx context.Context, id LeaseID) (<-chan *LeaseKeepAliveResponse, error)

	// KeepAliveOnce renews a lease once. A lease that does not exist is
	// rpctypes.ErrLeaseNotFound. After a loss it finds out whether the server has kept the lease;
	// if so KeepAlive can go on with it.
	KeepAliveOnce(ctx context.Context, id LeaseID) (*LeaseKeepAliveResponse, error)

	// Close stops all renewals and waits until their goroutines have ended. Leases
	// are not revoked.
	Close() error
}

// LeaseOp is an operation on a lease.
type LeaseOp struct {
	id           LeaseID
	attachedKeys bool
}

// LeaseOption changes what TimeToLive does.
type LeaseOption func(*LeaseOp)

// WithAttachedKeys makes TimeToLive list the keys of the lease.
func WithAttachedKeys() LeaseOption { return func(op *LeaseOp) { op.attachedKeys = true } }

type lessor struct {
	c       *Client // may be nil
	remote  pb.LeaseClient
	callOpt []grpc.CallOption
	engine  *lease.Engine
	reaper  *reaper
	strict  strictKeeps
	streams atomic.Uint64 // that have answered
	log     *zap.Logger
}

// NewLease returns a Lease over the client's connection. It must be closed.
func NewLease(c *Client) Lease {
	wait := time.Duration(0)
	if c != nil && c.cfg.DialTimeout > 0 {
		wait = c.cfg.DialTimeout + time.Second
	}
	return newLessor(RetryLeaseClient(c), c, nil, wait)
}

// NewLeaseFromLeaseClient returns a Lease over any protobuf client; c gives the
// call options and may be nil. keepAliveTimeout is how long a lease whose TTL is
// not known yet may go without an answer; one second or less stands for the default of 6 s. It must
// be closed.
func NewLeaseFromLeaseClient(remote pb.LeaseClient, c *Client, keepAliveTimeout time.Duration) Lease {
	if keepAliveTimeout <= time.Second {
		keepAliveTimeout = 0
	}
	return newLessor(remote, c, c.callOptions(), keepAliveTimeout)
}

func newLessor(remote pb.LeaseClient, c *Client, opts []grpc.CallOption, firstAnswer time.Duration) *lessor {
	l := &lessor{c: c, remote: remote, callOpt: opts, log: c.logger()}
	l.strict.members = func() int {
		if !c.connected() {
			return 1
		}
		return max(c.link.set.Usable(), 1)
	}
	l.reaper = &reaper{l: l, group: worker.New(context.Background())}
	l.engine = lease.New(lease.Config{Open: l.open, Judge: l.judge, FirstAnswer: firstAnswer, Log: l.log})
	return l
}

// judge says what the error of a stream means for its leases. A user who is refused may be let in
// again before they expire: after a changed password, or a role that was taken away by mistake.
func (l *lessor) judge(err error) lease.Verdict {
	if errors.Is(err, ErrClosed) || etcderr.Code(err) == codes.Unimplemented {
		return lease.Fatal
	}
	if err == rpctypes.ErrPermissionDenied { // for the keys of one of them
		return lease.Denied
	}
	if wantsToken(err) {
		return lease.Blameless
	}
	return lease.Retry
}

func (l *lessor) Grant(ctx context.Context, ttl int64) (*LeaseGrantResponse, error) {
	switch {
	case ctx == nil:
		return nil, errNilContext("Lease.LeaseGrant")
	case ttl > MaxLeaseTTL:
		return nil, rpctypes.ErrLeaseTTLTooLarge
	}
	req := &pb.LeaseGrantRequest{TTL: ttl, ID: 1 + rand.Int64N(math.MaxInt64)}
	sent := time.Now()
	resp, err := l.remote.LeaseGrant(retry.WithSent(ctx, &sent), req, l.callOpt...)
	if err != nil {
		err = ContextError(ctx, err)
		if err != rpctypes.ErrLeaseExist {
			return nil, err
		}
		// Nobody else draws the same of 2^63 numbers: an earlier attempt of this call
		// was executed and its answer lost.
		r, err := l.TimeToLive(ctx, LeaseID(req.ID))
		if err != nil {
			return nil, err
		}
		if r.TTL <= 0 { // gone, or in its last second: the caller gets a whole one
			return l.Grant(ctx, ttl)
		}
		return &LeaseGrantResponse{ResponseHeader: r.ResponseHeader, ID: r.ID, TTL: r.GrantedTTL}, nil
	}
	if resp.Error == "" {
		l.engine.Granted(resp.ID, resp.TTL, sent, resp.GetHeader().GetRaftTerm())
		l.c.observeLease(LeaseInfo{ID: LeaseID(resp.ID), Event: LeaseGranted, TTL: resp.TTL})
	}
	return &LeaseGrantResponse{ResponseHeader: resp.Header, ID: LeaseID(resp.ID), TTL: resp.TTL, Error: resp.Error}, nil
}

func (l *lessor) Revoke(ctx context.Context, id LeaseID) (*LeaseRevokeResponse, error) {
	r, err := invoke(ctx, "Lease.LeaseRevoke", l.callOpt, l.remote.LeaseRevoke, &pb.LeaseRevokeRequest{ID: int64(id)})
	if err == nil || err == rpctypes.ErrLeaseNotFound {
		l.engine.Revoked(int64(id))
	}
	return (*LeaseRevokeResponse)(r), err
}

func (l *lessor) TimeToLive(ctx context.Context, id LeaseID, opts ...LeaseOption) (*LeaseTimeToLiveResponse, error) {
	op := LeaseOp{id: id}
	for _, o := range opts {
		if o != nil {
			o(&op)
		}
	}
	r, err := invoke(ctx, "Lease.LeaseTimeToLive", l.callOpt, l.remote.LeaseTimeToLive,
		&pb.LeaseTimeToLiveRequest{ID: int64(op.id), Keys: op.attachedKeys})
	if err != nil {
		return nil, err
	}
	return &LeaseTimeToLiveResponse{
		ResponseHeader: r.Header,
		ID:             LeaseID(r.ID),
		TTL:            r.TTL,
		GrantedTTL:     r.GrantedTTL,
		Keys:           r.Keys,
	}, nil
}

func (l *lessor) Leases(ctx context.Context) (*LeaseLeasesResponse, error) {
	r, err := invoke(ctx, "Lease.LeaseLeases", l.callOpt, l.remote.LeaseLeases, &pb.LeaseLeasesRequest{})
	if err != nil {
		return nil, err
	}
	list := make([]LeaseStatus, len(r.Leases))
	for i, s := range r.Leases {
		list[i] = LeaseStatus{ID: LeaseID(s.ID)}
	}
	return &LeaseLeasesResponse{ResponseHeader: r.Header, Leases: list}, nil
}

func (l *lessor) KeepAlive(ctx context.Context, id LeaseID) (<-chan *LeaseKeepAliveResponse, error) {
	if ctx == nil {
		return nil, errNilContext("Lease.LeaseKeepAlive")
	}
	s := &leaseSink{id: id, l: l, ch: make(chan *LeaseKeepAliveResponse, leaseResponseChSize())}
	l.reaper.forget(int64(id))
	if _, requireLeader := watchGroup(ctx); requireLeader {
		ctx = l.strict.add(ctx, s)
	}
	if err := l.engine.KeepAlive(ctx, int64(id), s); err != nil {
		l.strict.done(s)
		if errors.Is(err, lease.ErrClosed) {
			err = etcderr.Closed("Lease.LeaseKeepAlive")
		}
		return nil, ErrKeepAliveHalted{Reason: err}
	}
	return s.ch, nil
}

// Streams counts the streams that have answered a renewal, for package relapse: each may lead to
// another etcd than the one before. A stream is counted before its first answer extends a lease. A
// watch that has found another history counts too: behind a proxy the streams may be the old ones.
func (l *lessor) Streams() uint64 {
	n := l.streams.Load()
	if l.c != nil {
		if w, ours := l.c.watches.(*watcher); ours {
			n += w.engine.Losses()
		}
	}
	return n
}

// Proxied reports that no watch has shown that the server is a member and not etcd's gRPC proxy.
// It is for package relapse: the proxy keeps our streams while it opens its own to another etcd.
func (l *lessor) Proxied() bool {
	if l.c == nil {
		return false
	}
	w, ours := l.c.watches.(*watcher)
	return ours && !w.engine.Direct()
}

func (l *lessor) Close() error {
	l.engine.Close()
	l.reaper.group.Stop()
	return nil
}

// leaseSink carries renewals into the user's channel. The engine calls it from one
// goroutine at a time.
type leaseSink struct {
	id   LeaseID
	l    *lessor
	ch   chan *LeaseKeepAliveResponse
	risk bool // the hook was called: the lease is in danger
}

func (s *leaseSink) Renewed(r *pb.LeaseKeepAliveResponse) {
	resp := &LeaseKeepAliveResponse{ResponseHeader: r.Header, ID: LeaseID(r.ID), TTL: r.TTL}
	event := LeaseRenewed
	if s.risk {
		s.risk, event = false, LeaseRestored
	}
	s.l.c.observeLease(LeaseInfo{ID: resp.ID, Event: event, TTL: r.TTL})
	for {
		select {
		case s.ch <- resp:
			return
		default:
		}
		select {
		case <-s.ch: // the oldest makes room for the latest
		default:
		}
	}
}

func (s *leaseSink) AtRisk() {
	s.risk = true
	s.l.c.observeLease(LeaseInfo{ID: s.id, Event: LeaseAtRisk})
}

func (s *leaseSink) Ended(why lease.Reason, err error) {
	event := lostOrEnded(why)
	if event == LeaseLost {
		s.l.log.Warn("lease lost", zap.Int64("lease", int64(s.id)), zap.Stringer("reason", why), zap.Error(err))
	}
	if why == lease.Unrenewed {
		s.l.reaper.add(int64(s.id))
	}
	s.l.strict.done(s)
	if why == lease.Revoked {
		s.drain()
	}
	close(s.ch)
	s.l.c.observeLease(LeaseInfo{ID: s.id, Event: event, Reason: why.String(), Err: err})
}

// drain takes what nobody has read: a lease that this client has revoked is not renewed any more,
// and no answer may claim that it is.
func (s *leaseSink) drain() {
	for {
		select {
		case <-s.ch:
		default:
			return
		}
	}
}

func (l *lessor) open(ctx context.Context, avoid []string) (lease.Stream, error) {
	ctx = l.c.withValues(ctx)
	// A member without a leader ends the stream instead of keeping silent.
	ctx = WithRequireLeader(ctx)
	o := retry.StreamOptions{Avoid: avoid, Engine: true}
	if l.c.connected() {
		o.Prefer = l.c.leader(ctx)
	}
	s, err := l.remote.LeaseKeepAlive(retry.WithStreamOptions(ctx, o), l.callOpt...)
	ls := &leaseStream{BidiStreamingClient: s, on: retry.StreamOf(s), l: l}
	l.c.streamOpened("Lease", ls.on.Member(), ctx, err)
	if err != nil {
		l.strict.seen(ls.on.Member(), err)
		return nil, err
	}
	return ls, nil
}

// leaseStream is one LeaseKeepAlive RPC as the engine sees it.
type leaseStream struct {
	_ [0]func() // not comparable, see balancer.conn
	grpc.BidiStreamingClient[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]
	on *retry.Stream // nil over a client that is not ours
	l  *lessor

	answered bool // used by the stream's reader
}

func (s *leaseStream) Member() string { return s.on.Member() }

func (s *leaseStream) Recv() (*pb.LeaseKeepAliveResponse, error) {
	r, err := s.BidiStreamingClient.Recv()
	if err == io.EOF {
		err = streamEnded("Lease.LeaseKeepAlive")
	}
	if err != nil {
		s.l.c.streamEnded("Lease", s.Member(), err)
	} else if !s.answered {
		s.answered = true
		s.l.streams.Add(1)
	}
	s.l.strict.seen(s.Member(), err)
	return r, err
}
