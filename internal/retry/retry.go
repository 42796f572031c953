// Package retry makes calls: it turns one call of the user into as many
// attempts as are safe and useful.
//
// # What is repeated
//
//	read    after any failure of a member; also sent a second time to another
//	        member (hedged) when the first is slower than usual
//	write   only if provably not executed: never sent, or refused by the server
//	        before it was proposed; else the error says that the outcome is unknown
//	login   as a read, but hedged after a fixed time: all other calls wait for it
//	repeat  as a read, but not hedged: a lease grant names its own id, so a second
//	        execution is refused by the server and recognized by the caller
//
// Calls that one lost connection cut go to another member at once. All other repetitions
// have a budget, so that a cluster in trouble does not get more of it from us.
//
// An expired token is refreshed, once for all calls, and the call repeated. The
// answers "no leader", "learner" and "too many requests" prove that nothing was
// executed. A call never goes on longer than its context.
//
// When no member is available, gRPC's wait-for-ready decides: by default the client waits until the
// context ends; FailFast makes it an error at once, which names for each endpoint the reason why it
// is down.
//
// # Concurrency
//
// Conn is safe for concurrent use. An attempt runs in the caller's goroutine. A
// hedge runs in a goroutine of the client's group, at most one per call, and
// ends with its call.
//
// # Files
//
//	retry.go    the connection of generated clients
//	context.go  what a context asks for
//	call.go     one call of the user: attempts until judge says that it is over
//	attempt.go  one request to one member, and what its outcome says of the member
//	hedge.go    a second request beside a slow one
//	judge.go    whether to repeat, and when
//	policy.go   which calls are reads, writes, logins; limits
//	answers.go  streams of answers to one read
//	budget.go   how many repetitions and hedges there may be
//	explain.go  the error that the user gets
//	stream.go   streams that move to another member
package retry

import (
	"context"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"

	"github.com/fairlead-go/fairlead/internal/auth"
	"github.com/fairlead-go/fairlead/internal/balancer"
	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// Config describes a Conn.
type Config struct {
	Raw    grpc.ClientConnInterface // gRPC's connection over the balancer of Set
	Set    *balancer.Set
	Auth   *auth.Keeper // nil without authentication
	Group  *worker.Group
	Limits Limits
	// MaxSend bounds requests, in bytes; 0: no bound. Calls on Raw itself are not bounded.
	MaxSend int
	Observe func(Observation) // called after each attempt; nil for no observer
	Log     *zap.Logger
}

// Observation is one attempt that has ended.
type Observation struct {
	Method string
	Member string
	Number int
	Hedge  bool
	Took   time.Duration
	Err    error
}

// Conn makes calls over all members. It is a grpc.ClientConnInterface, so every
// generated client works on it.
type Conn struct {
	cfg     Config
	hedges  *budget
	retries *budget
	delay   delay
	closed  atomic.Bool
	lastLog atomic.Int64 // unix nanoseconds of the last line about a call whose time ran out
}

// New returns a Conn. Its Group must be stopped by the owner.
func New(cfg Config) *Conn {
	if cfg.Limits.MaxRetries == 0 {
		cfg.Limits.MaxRetries = DefaultMaxRetries
	}
	if cfg.Limits.Wait == nil {
		cfg.Limits.Wait = defaultWait
	}
	return &Conn{cfg: cfg, hedges: newBudget(hedgeBurst, hedgePerCall), retries: newBudget(retryBurst, retryPerCall)}
}

// Shut makes all later calls fail with etcderr.Closed.
func (c *Conn) Shut() { c.closed.Store(true) }

// Over reports whether nothing can be sent any more: Shut was called, or gRPC's connection was
// closed, which is as final.
func (c *Conn) Over() bool {
	if c.closed.Load() {
		return true
	}
	raw, ok := c.cfg.Raw.(interface{ GetState() connectivity.State })
	return ok && raw.GetState() == connectivity.Shutdown
}

// cut reports whether a call or stream of ctx failed with err because the connection is over.
func (c *Conn) cut(ctx context.Context, err error) bool {
	switch etcderr.Code(err) {
	case codes.Canceled, codes.Unavailable:
		return ctx.Err() == nil && c.Over()
	}
	return false
}

// Invoke makes a unary call; see the package comment for what it repeats. The
// error is the context's, or one of rpctypes, or an *etcderr.Error.
func (c *Conn) Invoke(ctx context.Context, method string, req, reply any, opts ...grpc.CallOption) error {
	return c.invoke(&call{}, ctx, method, req, reply, opts)
}

// Range is a read with its request inside, which saves an allocation.
type Range struct {
	Request pb.RangeRequest
	call    call
}

// Range makes the call that r describes; as Invoke.
func (c *Conn) Range(ctx context.Context, r *Range, opts ...grpc.CallOption) (*pb.RangeResponse, error) {
	resp := new(pb.RangeResponse)
	if err := c.invoke(&r.call, ctx, pb.KV_Range_FullMethodName, &r.Request, resp, opts); err != nil {
		return nil, err
	}
	return resp, nil
}

// Put is a write with its request inside, which saves allocations.
type Put struct {
	Request pb.PutRequest
	call    call
}

// Put makes the call that p describes; as Invoke.
func (c *Conn) Put(ctx context.Context, p *Put, opts ...grpc.CallOption) (*pb.PutResponse, error) {
	resp := new(pb.PutResponse)
	if err := c.invoke(&p.call, ctx, pb.KV_Put_FullMethodName, &p.Request, resp, opts); err != nil {
		return nil, err
	}
	return resp, nil
}
