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
// When no member is available, gRPC's wait-for-ready decides: the client's
// default is to wait for the context; FailFast makes it an error at once, which
// says of each endpoint why it is down.
//
// # Concurrency
//
// Conn is safe for concurrent use. An attempt runs in the caller's goroutine. A
// hedge runs in a goroutine of the client's group, at most one per call, and
// ends with its call.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/internal/auth"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/balancer"
	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/wire"
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
	Observe func(Observation) // called after each attempt; nil for nobody
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

// Over reports that nothing can be sent any more: Shut was called, or somebody closed
// gRPC's connection, which is as final.
func (c *Conn) Over() bool {
	if c.closed.Load() {
		return true
	}
	raw, ok := c.cfg.Raw.(interface{ GetState() connectivity.State })
	return ok && raw.GetState() == connectivity.Shutdown
}

// cut reports that a call or stream of ctx failed with err because the connection is over.
func (c *Conn) cut(ctx context.Context, err error) bool {
	switch etcderr.Code(err) {
	case codes.Canceled, codes.Unavailable:
		return ctx.Err() == nil && c.Over()
	}
	return false
}

type pinKey struct{}

// Pin returns a context whose calls go to m and nowhere else.
func Pin(ctx context.Context, m *balancer.Member) context.Context {
	return context.WithValue(ctx, pinKey{}, m)
}

type failFastKey struct{}

// WithFailFast returns a context whose calls fail at once when no member is
// available.
func WithFailFast(ctx context.Context) context.Context {
	return context.WithValue(ctx, failFastKey{}, true)
}

type repeatKey struct{}

// WithRepeat returns a context whose writes are repeated although an earlier attempt
// may have been executed.
func WithRepeat(ctx context.Context) context.Context {
	return context.WithValue(ctx, repeatKey{}, true)
}

type earlyKey struct{}

// WithEarlyDoubt returns a context whose writes do not stay on a member that is silent or stalled,
// as reads do not. What may have been executed there is not repeated, so such a write fails soon,
// with an unknown outcome, for a caller who can find out.
func WithEarlyDoubt(ctx context.Context) context.Context {
	return context.WithValue(ctx, earlyKey{}, true)
}

type sentKey struct{}

// WithSent returns a context whose repeatable write notes in t when the attempt that succeeded
// found its member: what it waited for before that, a token or a place, the server knows nothing
// of.
func WithSent(ctx context.Context, t *time.Time) context.Context {
	return context.WithValue(ctx, sentKey{}, t)
}

type whileKey struct{}

// WithRepeatWhile returns a context whose calls are repeated only while wanted returns true: a call
// for several callers at once can lose one of them before its own context ends.
func WithRepeatWhile(ctx context.Context, wanted func() bool) context.Context {
	return context.WithValue(ctx, whileKey{}, wanted)
}

type bulkKey struct{}

// WithBulk returns a context whose ranges have the connection for much data.
func WithBulk(ctx context.Context) context.Context {
	return context.WithValue(ctx, bulkKey{}, true)
}

var failFast = []grpc.CallOption{grpc.WaitForReady(false)}

// options adds what the context asks for to a call's own options.
func options(ctx context.Context, opts []grpc.CallOption) []grpc.CallOption {
	if len(opts) == 1 {
		if _, ok := opts[0].(grpc.StaticMethodCallOption); ok {
			opts = nil // generated code adds it; it serves metrics only and costs a copy of the defaults
		}
	}
	if ctx.Value(failFastKey{}) != nil {
		if len(opts) == 0 {
			return failFast
		}
		return append(append(make([]grpc.CallOption, 0, len(opts)+1), opts...), failFast[0])
	}
	return opts
}

// call is one call of the user.
type call struct {
	c          *Conn
	ctx        context.Context
	method     string
	req, reply any
	opts       []grpc.CallOption
	plan       plan
	pin        *balancer.Member
	lane       bool // on the connection for much data

	avoid     uint64            // members that failed this call
	tried     []etcderr.Attempt // failures so far
	failures  uint              // attempts that failed so far
	refreshes int
	uncertain bool // an attempt may have been executed
	moved     bool // the last attempt's connection was found silent, or its member stalled
	first     try  // the first attempt; inside, so that most calls need one allocation
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

// invoke makes a call; k is empty.
func (c *Conn) invoke(k *call, ctx context.Context, method string, req, reply any, opts []grpc.CallOption) error {
	if ctx == nil {
		return etcderr.Invalid(etcderr.ShortMethod(method), "the context is nil")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.closed.Load() {
		return etcderr.Closed(etcderr.ShortMethod(method))
	}
	if err := c.tooLarge(method, req); err != nil {
		return err
	}
	k.c, k.ctx, k.method, k.req, k.reply, k.plan = c, ctx, method, req, reply, planFor(method, req)
	if k.plan.kind == write && ctx.Value(repeatKey{}) != nil {
		k.plan.kind = repeat
		k.plan.hedge = k.plan.short // a put or a delete of one key
	}
	if k.plan.many && ctx.Value(bulkKey{}) != nil {
		k.plan.short, k.plan.hedge, k.lane = false, false, true
	}
	k.opts = options(ctx, opts)
	k.pin, _ = ctx.Value(pinKey{}).(*balancer.Member)
	c.hedges.call()
	c.retries.call()
	for n := uint(0); ; n++ {
		k.failures = n
		err := k.attempt()
		if err == nil {
			return nil
		}
		wait, again := k.judge(err, n)
		if !again {
			return k.fail(err)
		}
		if err := backoff.Sleep(ctx, wait); err != nil {
			return k.fail(err)
		}
		if wanted, ok := ctx.Value(whileKey{}).(func() bool); ok && !wanted() {
			return k.fail(err)
		}
	}
}

// attempt makes one attempt, hedged if that is allowed. A failure is noted in
// k.tried.
func (k *call) attempt() error {
	if k.plan.kind != login {
		if err := k.c.token(k.ctx); err != nil {
			k.tried = append(k.tried, etcderr.Attempt{Err: err})
			return &noToken{err}
		}
	}
	if k.plan.hedge && k.pin == nil && (k.plan.kind == login || k.c.cfg.Set.Usable() > 1) {
		return k.hedged()
	}
	a := k.newAttempt()
	return k.finish(a, k.send(a, k.reply))
}

// token returns when there is a token, or none is needed.
func (c *Conn) token(ctx context.Context) error {
	switch {
	case c.cfg.Auth == nil:
		return nil
	case ctx.Value(failFastKey{}) == nil:
		return c.cfg.Auth.Ensure(ctx)
	case c.cfg.Set.Usable() == 0:
		return nil // the call itself says of each member why; if one comes meanwhile, it refuses
	}
	return c.cfg.Auth.Try(ctx)
}

// noToken: the call was not made because authentication failed.
type noToken struct{ err error }

func (e *noToken) Error() string { return e.err.Error() }
func (e *noToken) Unwrap() error { return e.err }

// try is one attempt under way.
type try struct {
	balancer.Context
	began  time.Time
	number int             // of failures that the call had had when this began
	hedge  bool            // the second request of an attempt
	ended  *balancer.Ended // why its connection cancelled it; nil if it did not
}

func (k *call) newAttempt() *try {
	a := &k.first
	if !a.began.IsZero() {
		a = &try{}
	}
	a.began, a.number = time.Now(), int(k.failures)
	ctx, cancel := context.WithCancelCause(k.ctx)
	a.Context.Context, a.Pick.Cancel = ctx, cancel
	a.Pick.Avoid, a.Pick.Pin = k.avoid, k.pin
	if k.plan.kind != write || k.ctx.Value(earlyKey{}) != nil {
		a.Pick.Class = balancer.Read
	}
	a.Pick.Consensus, a.Pick.Short = k.plan.consensus, k.plan.short
	a.Pick.Proposes = k.plan.consensus && (k.plan.kind == write || k.plan.kind == repeat)
	a.Pick.TellSent, a.Pick.Lane = k.plan.kind == write, k.lane
	// The deadline of a login is not that of whoever waits for it.
	_, bounded := k.ctx.Deadline()
	a.Pick.Bounded = bounded && k.plan.kind != login
	return a
}

// send makes the RPC of an attempt.
func (k *call) send(a *try, reply any) error {
	err := k.c.cfg.Raw.Invoke(&a.Context, k.method, k.req, reply, k.opts...)
	a.Pick.Finish(outcomeOf(err))
	if err != nil {
		a.ended, _ = context.Cause(a.Context.Context).(*balancer.Ended)
	}
	a.Pick.Cancel(nil)
	if k.c.cfg.Observe != nil {
		k.observe(a, err)
	}
	if m := a.Pick.Got; err == nil && m != nil && m.ID() == 0 {
		if r, ok := reply.(interface{ GetHeader() *pb.ResponseHeader }); ok {
			m.SetID(r.GetHeader().GetMemberId())
		}
	}
	return err
}

func (k *call) observe(a *try, err error) {
	o := Observation{Method: etcderr.ShortMethod(k.method), Number: a.number, Hedge: a.hedge, Took: time.Since(a.began), Err: err}
	if m := a.Pick.Got; m != nil {
		o.Member = m.Name()
	}
	k.c.cfg.Observe(o)
}

// outcomeOf is what an attempt's error says of its member's ability to answer.
func outcomeOf(err error) balancer.Outcome {
	if err == nil {
		return balancer.Done
	}
	if etcderr.Known(err) == nil {
		return balancer.Unanswered
	}
	switch etcderr.ClassOf(err) {
	case etcderr.Final, etcderr.Moved:
		return balancer.Done
	}
	return balancer.Answered
}

// finish notes the outcome of an attempt.
func (k *call) finish(a *try, err error) error {
	if err == nil {
		if k.plan.kind == repeat {
			if t, ok := k.ctx.Value(sentKey{}).(*time.Time); ok {
				*t = time.Now().Add(-a.Pick.Age())
			}
		}
		k.answered(a)
		return nil
	}
	name := ""
	if m := a.Pick.Got; m != nil {
		name = m.Name()
		k.avoid |= m.Slot()
		m.Failed(err, &a.Pick)
	} else if a.ended != nil {
		// gRPC was picking anew when the verdict about its last connection came.
		name = a.ended.Member.Name()
	}
	k.tried = append(k.tried, etcderr.Attempt{Member: name, Err: err, Took: time.Since(a.began)})
	return k.outcome(a, err)
}

// outcome turns an attempt's error into the user's form and decides whether the
// request may have been executed.
func (k *call) outcome(a *try, err error) error {
	sent := a.Pick.Got != nil && (a.Pick.Sent || !a.Pick.TellSent)
	out := k.c.explain(k.ctx, etcderr.ShortMethod(k.method), &a.Pick, a.ended, err)
	k.moved = a.ended != nil && a.ended.Moved
	definite := !sent || etcderr.NotExecuted(err)
	if e, ours := out.(*etcderr.Error); ours {
		e.Unexecuted = definite
	}
	k.uncertain = k.uncertain || !definite
	if t, ok := a.Pick.Token.(*auth.Token); ok && etcderr.ClassOf(out) == etcderr.Token {
		return &refused{out, t}
	}
	return out
}

// explain turns what gRPC says of p, an attempt or a stream, into the user's form; ended is
// the verdict that cancelled it, if one did.
func (c *Conn) explain(ctx context.Context, method string, p *balancer.Pick, ended *balancer.Ended, err error) error {
	if c.cut(ctx, err) {
		return etcderr.Closed(method)
	}
	if ended != nil && ctx.Err() == nil {
		e := ended.Err // shared by all that ran on the connection
		return &e
	}
	if e := unpicked(ctx, method, p); e != nil {
		return e
	}
	return etcderr.From(ctx, err)
}

// unpicked is the error of a call for which there was no member, nil if that is not what ended it.
func unpicked(ctx context.Context, method string, p *balancer.Pick) *etcderr.Error {
	if p.Got != nil || p.Err == nil {
		return nil
	}
	e := &etcderr.Error{
		Method: method, Status: codes.Unavailable, Cause: p.Err, Unexecuted: true, Misconfigured: p.Wrong,
	}
	switch ended := ctx.Err(); {
	case ended == nil:
		return e
	case p.Wrong && ended == context.DeadlineExceeded:
		return e.Late()
	}
	return nil
}

// tooLarge is the error of a request above the limit, in gRPC's words; nil if it is not.
func (c *Conn) tooLarge(method string, req any) error {
	n := wire.Size(req)
	if n <= c.cfg.MaxSend || c.cfg.MaxSend <= 0 {
		return nil
	}
	return &etcderr.Error{
		Method: etcderr.ShortMethod(method), Status: codes.ResourceExhausted, Unexecuted: true,
		Cause:  status.Errorf(codes.ResourceExhausted, "trying to send message larger than max (%d vs. %d)", n, c.cfg.MaxSend),
		Reason: fmt.Sprintf("the request has %d bytes, more than the client's limit of %d", n, c.cfg.MaxSend),
	}
}

// refused carries which token the server did not accept.
type refused struct {
	err   error
	token *auth.Token
}

func (e *refused) Error() string { return e.err.Error() }
func (e *refused) Unwrap() error { return e.err }

// maxRefreshes per call: a token can expire again while the call waits.
const maxRefreshes = 3

// judge decides whether to repeat after err, the n-th failure from 0, and how
// long to wait before.
func (k *call) judge(err error, n uint) (wait time.Duration, again bool) {
	if k.ctx.Err() != nil || n >= k.c.cfg.Limits.MaxRetries || k.c.Over() {
		return 0, false
	}
	lim := k.c.cfg.Limits
	if k.tried[len(k.tried)-1].Member == "" {
		// There was no member and the call does not wait for one, or no token: the
		// keeper's own call was repeated already as often as makes sense.
		return 0, false
	}
	class := etcderr.ClassOf(err)
	if k.needsToken(err, class) {
		if k.refreshes >= maxRefreshes || k.plan.kind == login {
			return 0, false
		}
		k.refreshes++
		var old *auth.Token
		if r, ok := err.(*refused); ok {
			old = r.token
		}
		return 0, k.c.cfg.Auth.Invalidate(old)
	}
	if k.plan.kind == write && !etcderr.NotExecuted(err) {
		return 0, false
	}
	if k.moved {
		return 0, true
	}
	switch class {
	case etcderr.Broken, etcderr.NoQuorum, etcderr.Moved, etcderr.NoLeader, etcderr.Learner:
		untried := k.pin == nil && k.c.cfg.Set.Alternative(k.avoid)
		// One connection that is lost, or one leadership that moves, ends many calls and is
		// over then. It is trouble only for a call to which it happens on all members.
		single := (class == etcderr.Broken || class == etcderr.Moved) && (n == 0 || untried)
		switch {
		case !single && !k.c.retries.take():
			return k.spread(n), true
		case untried && (single || n == 0), single && class == etcderr.Broken:
			return 0, true // if there is no member, gRPC waits for one
		}
		return lim.Wait(int(n)), true
	case etcderr.Overload:
		k.c.retries.take()
		return lim.Wait(int(n)), true
	}
	return 0, false
}

// spread is how long a repetition waits for which the budget has nothing. It is drawn evenly from
// the time that the call has, so that calls that failed together do not return together.
func (k *call) spread(n uint) time.Duration {
	least, most := k.c.cfg.Limits.Wait(int(n)), 2*DefaultWaitMax
	if d, ok := k.ctx.Deadline(); ok {
		most = min(most, time.Until(d)*3/4) // in time for an answer
	}
	if most <= least {
		return least
	}
	return least + rand.N(most-least)
}

// needsToken: the server wants a (new) token, and there is someone to get it.
func (k *call) needsToken(err error, class etcderr.Class) bool {
	return k.c.cfg.Auth != nil && (class == etcderr.Token || err == rpctypes.ErrUserEmpty)
}

// fail gives the last error its history.
func (k *call) fail(err error) error {
	switch e := err.(type) {
	case *refused:
		err = e.err
	case *noToken:
		err = etcderr.From(k.ctx, e.err)
	}
	if ended := k.ctx.Err(); ended != nil && etcderr.ClassOf(err) != etcderr.Final && !errors.Is(err, ended) {
		err = ended
	}
	if err == context.DeadlineExceeded && len(k.tried) > 0 {
		k.c.logEnded(k, err)
	}
	if shared, ok := err.(*etcderr.Error); ok {
		// A copy: the error of a login is shared by all calls that waited for it, and it
		// is among the attempts listed here.
		e := *shared
		e.Method = etcderr.ShortMethod(k.method)
		if len(k.tried) > 0 {
			e.Tried = k.tried
		}
		e.Unexecuted = e.Unexecuted && !k.uncertain
		return &e
	}
	return err
}

// logEvery bounds the lines about calls whose time ran out.
const logEvery = time.Second

// logEnded explains a bare context error beside it: the value itself cannot.
func (c *Conn) logEnded(k *call, err error) {
	now, last := time.Now().UnixNano(), c.lastLog.Load()
	if now-last < int64(logEvery) || !c.lastLog.CompareAndSwap(last, now) || c.cfg.Log == nil {
		return
	}
	e := etcderr.Error{Reason: err.Error(), Tried: k.tried}
	c.cfg.Log.Warn("call ended by its context", zap.String("method", etcderr.ShortMethod(k.method)), zap.String("detail", e.Error()),
		zap.String("members", c.cfg.Set.Explain()))
}
