package grpcdisc

// The interceptor makes a call by attempts, each an ordinary call of gRPC's with a context that
// carries a trace. The picker finds it there: it leaves out instances that were tried, notes which
// one it took, and learns from it why the attempt was cancelled.

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/internal/attempt"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// DefaultAttempts is enough when one instance has gone and another is about to go.
const DefaultAttempts = 3

// InterceptorOption changes what [NewInterceptor] returns.
type InterceptorOption func(*interceptor)

// WithAttempts sets how often an idempotent call is sent at most, the first time included, 1 to
// 100; the default is [DefaultAttempts]. 1 turns repetition off, and goes with neither
// [WithAttemptTimeout] nor [WithHedging].
func WithAttempts(n int) InterceptorOption {
	return func(i *interceptor) { i.attempts = n }
}

// WithAttemptTimeout sets how long an attempt of an idempotent call may take, if it is not the last
// one and there is another instance: a frozen instance then costs a call that much, and is ejected.
// Choose it above the time of the slowest call. 0, the default, sets no limit besides the call's
// own.
func WithAttemptTimeout(d time.Duration) InterceptorOption {
	return func(i *interceptor) { i.limit = d }
}

// WithHedging also sends an idempotent call to another instance when there is no answer after d.
// The first answer counts, and the other attempt is cancelled. So a call is executed twice now and
// then. Choose a d that at most one call in twenty exceeds: after a burst of 100, further calls are
// hedged a second later, from the budget for retries. 0, the default, turns hedging off.
func WithHedging(d time.Duration) InterceptorOption {
	return func(i *interceptor) { i.hedging = d }
}

// WithIdempotent names methods that may be executed more than once, besides those whose proto says
// so: "/package.Service/Method", or "/package.Service/" for all of a service. With a name of
// another form all calls fail.
func WithIdempotent(methods ...string) InterceptorOption {
	return func(i *interceptor) {
		for _, m := range methods {
			if !strings.HasPrefix(m, "/") || strings.Count(m, "/") != 2 {
				i.err = fmt.Errorf(
					`grpcdisc: %w: WithIdempotent: %q is not of the form "/package.Service/Method"`,
					discovery.ErrInvalid,
					m,
				)
			}
			i.named[m] = true
		}
	}
}

// NewInterceptor returns an interceptor that repeats idempotent calls on other instances; see
// Attempts in the package documentation. Pass it to grpc.WithUnaryInterceptor, or make it the last
// of a chain. Use one per connection. With an invalid option every call fails, with an error that
// wraps [discovery.ErrInvalid].
func NewInterceptor(opts ...InterceptorOption) grpc.UnaryClientInterceptor {
	i := &interceptor{
		attempts: DefaultAttempts,
		named:    make(map[string]bool),
		retries:  attempt.Retries(),
		hedges:   attempt.Hedges(),
	}
	for _, o := range opts {
		if o == nil {
			i.err = fmt.Errorf("grpcdisc: %w: an option of the interceptor is nil", discovery.ErrInvalid)
			continue
		}
		o(i)
	}
	if err := attempt.Check(i.attempts, i.limit, i.hedging); err != nil && i.err == nil {
		i.err = fmt.Errorf("grpcdisc: %w: %w", discovery.ErrInvalid, err)
	}
	return i.intercept
}

type interceptor struct {
	attempts        int
	limit, hedging  time.Duration
	named           map[string]bool
	declared        sync.Map // string: bool, what protos say
	retries, hedges *attempt.Budget
	err             error // an option makes no sense
}

func (i *interceptor) intercept(
	ctx context.Context,
	method string,
	req, reply any,
	cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker,
	opts ...grpc.CallOption,
) error {
	if i.err != nil {
		return i.err
	}
	i.retries.Earn()
	i.hedges.Earn()
	into, ok := reply.(proto.Message)
	out, is := req.(proto.Message)
	if !ok || !is || i.attempts == 1 || !i.idempotent(method) {
		return once(ctx, func(ctx context.Context) error { return invoke(ctx, method, req, reply, cc, opts...) })
	}
	if i.limit > 0 || i.hedging > 0 {
		// An attempt that is given up may encode the request after the call has returned, when the
		// request belongs to the caller again.
		out = proto.Clone(out)
	}
	c := &call{ctx: ctx, invoke: func(ctx context.Context, reply proto.Message, opts []grpc.CallOption) error {
		return invoke(ctx, method, out, reply, cc, opts...)
	}, reply: into.ProtoReflect().Type(), opts: opts}
	plan := attempt.Plan{Most: i.attempts, Limit: i.limit, Hedge: i.hedging, Retries: i.retries, Hedges: i.hedges}
	r := attempt.Run(ctx, plan, c.try, func(attempt.Result[answer]) {})
	if r.Err == nil {
		move(into, r.Value.reply)
	}
	r.Value.aside.give()
	return c.explain(r.Err)
}

// once makes a call by one attempt. All that it adds is in the error.
func once(ctx context.Context, invoke func(context.Context) error) error {
	c := &call{ctx: ctx}
	t := &trace{call: c, attempt: new(attempt.Attempt), once: true}
	err := invoke(context.WithValue(ctx, traceKey{}, t))
	if unable(err) {
		c.note(t, err)
	}
	return c.explain(err)
}

// unable reports whether an error means that an instance did not do its work.
func unable(err error) bool {
	return status.Code(err) == codes.Unavailable || status.Code(err) == codes.DeadlineExceeded
}

// errNoAnswer is the error of an attempt that took too long.
var errNoAnswer = status.Error(codes.DeadlineExceeded, "grpcdisc: no answer within the time of an attempt")

// move copies a message into another one. The first is not used afterwards.
func move(into, from proto.Message) {
	proto.Reset(into)
	to, of := into.ProtoReflect(), from.ProtoReflect()
	of.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		to.Set(f, v)
		return true
	})
	to.SetUnknown(of.GetUnknown())
}

// call is a call of the caller, with its attempts.
type call struct {
	ctx    context.Context
	invoke func(context.Context, proto.Message, []grpc.CallOption) error
	reply  protoreflect.MessageType // not the reply itself: when a hedge begins, that may be the caller's again
	opts   []grpc.CallOption

	mu     sync.Mutex // guards what follows: attempts may overlap
	tried  []*discovery.Instance
	failed []string // how the attempts ended
}

// answer is the result of an attempt.
type answer struct {
	reply proto.Message
	aside *aside
}

func (c *call) try(ctx context.Context, a *attempt.Attempt) attempt.Result[answer] {
	defer a.Release()
	t := &trace{call: c, attempt: a}
	got := answer{aside: new(aside)} // gRPC writes there
	got.reply = c.reply.New().Interface()
	err := c.invoke(context.WithValue(ctx, traceKey{}, t), got.reply, got.aside.options(c.opts))
	r := attempt.Result[answer]{Value: got, Err: err}
	switch {
	case t.none.Load():
		r.Verdict = attempt.None
	case err == nil:
	case a.Ended() != attempt.Open:
		r.Verdict = attempt.Again
		r.Err = errNoAnswer
	case status.Code(err) == codes.Unavailable && c.ctx.Err() == nil:
		r.Verdict = attempt.Again
	}
	if unable(r.Err) && !t.none.Load() {
		c.note(t, r.Err)
	}
	return r
}

// note remembers how an attempt ended, if it was sent to an instance.
func (c *call) note(t *trace, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.in != nil {
		where := strings.Join(t.in.Addresses[:min(1, len(t.in.Addresses))], "")
		c.failed = append(c.failed, fmt.Sprintf("%s at %s: %s", t.in.ID, where, status.Convert(err).Message()))
	}
}

// explain adds to a call's error which instances were tried, and how each attempt ended.
func (c *call) explain(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil || len(c.failed) == 0 {
		return err
	}
	p := status.Convert(err).Proto()
	p.Message = fmt.Sprintf("%s (tried: %s)", p.Message, strings.Join(c.failed, "; "))
	return status.ErrorProto(p)
}

// trace connects an attempt and the picker.
type trace struct {
	call    *call
	attempt *attempt.Attempt
	// The attempt is the call's only one. gRPC itself may send it anywhere, and again to the same
	// instance.
	once bool
	none atomic.Bool         // there was no other instance
	in   *discovery.Instance // the last that was picked; guarded by call.mu
}

type traceKey struct{}

func traceOf(ctx context.Context) *trace {
	t, _ := ctx.Value(traceKey{}).(*trace)
	return t
}

// tried returns the instances to leave out.
func (t *trace) tried() []*discovery.Instance {
	if t.once {
		return nil
	}
	t.call.mu.Lock()
	defer t.call.mu.Unlock()
	return append([]*discovery.Instance(nil), t.call.tried...)
}

// picked notes the instance that the attempt is sent to.
func (t *trace) picked(in *discovery.Instance) {
	t.call.mu.Lock()
	t.in = in
	t.call.tried = append(t.call.tried, in)
	t.call.mu.Unlock()
	t.attempt.Begun()
}

// outcome returns what an attempt shows about its instance: o, or if the attempt was ended, what
// the reason for that shows.
func (t *trace) outcome(o pick.Outcome) pick.Outcome {
	switch end := t.attempt.Ended(); {
	case o == pick.Success || end == attempt.Open:
		return o
	case end == attempt.TooLong:
		return pick.Unanswered
	default:
		return pick.TimedOut
	}
}

// aside is what gRPC writes besides the reply. Attempts that overlap must not write to the same
// place.
type aside struct {
	header, trailer metadata.MD
	peer            peer.Peer
	opts            []grpc.CallOption
}

// options returns the options of a call, in which gRPC's places to write to are replaced by those
// of s.
func (s *aside) options(opts []grpc.CallOption) []grpc.CallOption {
	own := make([]grpc.CallOption, 0, len(opts))
	for _, o := range opts {
		switch o.(type) {
		case grpc.HeaderCallOption:
			o = grpc.Header(&s.header)
		case grpc.TrailerCallOption:
			o = grpc.Trailer(&s.trailer)
		case grpc.PeerCallOption:
			o = grpc.Peer(&s.peer)
		}
		own = append(own, o)
	}
	s.opts = opts
	return own
}

// give copies what gRPC has written into the caller's places.
func (s *aside) give() {
	for _, o := range s.opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = s.header
		case grpc.TrailerCallOption:
			*o.TrailerAddr = s.trailer
		case grpc.PeerCallOption:
			*o.PeerAddr = s.peer
		}
	}
}
