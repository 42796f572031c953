package retry

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/internal/auth"
	"github.com/fairlead-go/fairlead/internal/balancer"
	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// StreamOptions are an engine's wishes for a new stream.
type StreamOptions struct {
	Avoid  []string         // endpoints whose streams failed, the latest last; a preference
	Prefer *balancer.Member // the best member; a preference
	Engine bool             // wait for a member even if the client fails fast, and stay there once open
	Resume bool             // it continues where it was, so that a move loses nothing
}

// WithStreamOptions returns a context for NewStream.
func WithStreamOptions(ctx context.Context, o StreamOptions) context.Context {
	return context.WithValue(ctx, streamKey, &o)
}

// Stream is a stream on one member. It ends with an error when its member is
// ejected, stalls or is removed from the endpoints; the error's code is
// Unavailable then, and a new stream will be on another member.
type Stream struct {
	_ [0]func() // not comparable: what compares two would make programs larger
	grpc.ClientStream
	c      *Conn
	ctx    context.Context // the caller's
	pick   *balancer.Pick
	once   sync.Once
	method string
	asks   bool // its first request, which is answered at once, is yet to be sent
}

// StreamOf finds our stream behind a generated client's stream; nil if it runs
// over a client that is not ours.
func StreamOf(cs grpc.ClientStream) *Stream {
	switch s := cs.(type) {
	case *grpc.GenericClientStream[pb.WatchRequest, pb.WatchResponse]:
		cs = s.ClientStream
	case *grpc.GenericClientStream[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]:
		cs = s.ClientStream
	}
	s, _ := cs.(*Stream)
	return s
}

// Connected is when the stream's connection was made, zero for a nil Stream.
func (s *Stream) Connected() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.pick.Connected()
}

// Member returns the endpoint of the stream, "" for a nil Stream.
//
//go:noinline
func (s *Stream) Member() string {
	if s == nil || s.pick.Got == nil {
		return ""
	}
	return s.pick.Got.Name()
}

// NewStream opens a stream. It waits for a member and a token as a call does. A stream of answers
// to one request is repeated as a read is until its first message. Other streams are not repeated:
// only their reader knows where to continue.
func (c *Conn) NewStream(
	ctx context.Context,
	desc *grpc.StreamDesc,
	method string,
	opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if ctx == nil {
		return nil, etcderr.Invalid(etcderr.ShortMethod(method), "the context is nil")
	}
	if !desc.ClientStreams {
		return c.newAnswers(ctx, desc, method, opts)
	}
	s, err := c.openStream(ctx, desc, method, opts...)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (c *Conn) openStream(
	ctx context.Context,
	desc *grpc.StreamDesc,
	method string,
	given ...grpc.CallOption,
) (*Stream, error) {
	short := etcderr.ShortMethod(method)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.closed.Load() {
		return nil, etcderr.Closed(short)
	}
	if err := c.token(ctx); err != nil {
		return nil, etcderr.From(ctx, err)
	}
	opts := options(ctx, given)
	sctx, cancel := context.WithCancelCause(ctx)
	a := &balancer.Context{Context: sctx}
	a.Pick.Stream, a.Pick.Cancel = true, cancel
	_, a.Pick.Bounded = ctx.Deadline()
	a.Pick.Class = classOf(method)
	a.Pick.Lane = a.Pick.Class == balancer.Bulk
	a.Pick.Pin, _ = ctx.Value(pinKey).(*balancer.Member)
	o, _ := ctx.Value(streamKey).(*StreamOptions)
	if o != nil {
		a.Pick.Prefer, a.Pick.Resumes = o.Prefer, o.Resume
		a.Pick.Avoid = c.avoid(o.Avoid)
		a.Pick.Urgent = len(o.Avoid) > 0 // it replaces one that failed, and watches or leases wait for it
		if o.Engine {
			opts = append(append([]grpc.CallOption(nil), opts...), grpc.WaitForReady(true))
		}
	}
	cs, err := c.cfg.Raw.NewStream(a, desc, method, opts...)
	if err != nil {
		a.Pick.Finish(balancer.Unanswered)
		ended, _ := context.Cause(sctx).(*balancer.Ended)
		cancel(nil)
		if a.Pick.Void {
			return c.openStream(ctx, desc, method, given...)
		}
		on := a.Pick.Got
		if on == nil && ended != nil {
			on = ended.Member
		}
		return nil, c.named(short, on, c.explain(ctx, short, &a.Pick, ended, err))
	}
	if o != nil && o.Engine {
		a.Pick.Stay()
	}
	s := &Stream{ClientStream: cs, c: c, ctx: ctx, pick: &a.Pick, method: short}
	s.asks = desc.ClientStreams    // what has one request only may be answered when something happens
	context.AfterFunc(sctx, s.end) // a caller that cancels a stream's context need not read to its end
	return s, nil
}

// classOf returns what a verdict on its connection does to a stream.
func classOf(method string) balancer.Class {
	switch method {
	case pb.Maintenance_Snapshot_FullMethodName, pb.KV_RangeStream_FullMethodName:
		return balancer.Bulk
	}
	return balancer.Session
}

// avoid turns endpoints to avoid, the latest last, into slots. If no other member could serve a
// stream, it leaves out the one that failed longest ago: a member that fails again and again must
// not get all attempts.
func (c *Conn) avoid(names []string) (slots uint64) {
	members := c.cfg.Set.Members()
	for _, name := range slices.Backward(names) {
		i := slices.IndexFunc(members, func(m *balancer.Member) bool { return m.Name() == name })
		if i < 0 {
			continue
		}
		if more := slots | members[i].Slot(); c.cfg.Set.Alternative(more) {
			slots = more
		}
	}
	return slots
}

// SendMsg refuses messages above the limit for requests.
func (s *Stream) SendMsg(m any) error {
	if err := s.c.tooLarge(s.method, m); err != nil {
		return err
	}
	if s.asks {
		s.asks = false
		s.pick.Asks()
	}
	return s.ClientStream.SendMsg(m)
}

// RecvMsg returns io.EOF at the end of the stream, else the error in the form
// that users see.
func (s *Stream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil || err == io.EOF {
		if err == io.EOF {
			s.end()
		} else {
			s.pick.Received()
		}
		return err
	}
	defer s.end()
	return s.explain(err)
}

// explain turns the error that ended the stream into the user's form, and notifies the member's
// state and the token's keeper.
func (s *Stream) explain(err error) error {
	ended, _ := context.Cause(s.ClientStream.Context()).(*balancer.Ended)
	if etcderr.Code(err) != codes.Canceled {
		ended = nil // the server had answered before
	}
	if s.pick.Got != nil && ended == nil {
		s.pick.Got.Failed(err, s.pick)
	}
	out := s.c.explain(s.ctx, s.method, s.pick, ended, err)
	s.Refused(out)
	return s.c.named(s.method, s.pick.Got, out)
}

// Refused examines an error that came over the stream: if it says that the stream's token is not
// valid, or that it had none, the next stream gets a fresh one. A stream has no token if
// authentication was found to be off, or if no login succeeded in time.
func (s *Stream) Refused(err error) {
	if s == nil || s.c.cfg.Auth == nil {
		return
	}
	t, _ := s.pick.Token.(*auth.Token)
	if etcderr.ClassOf(err) == etcderr.Token && t != nil || err == rpctypes.ErrUserEmpty {
		s.c.cfg.Auth.Invalidate(t)
	}
}

// Outdated reports whether calls use another token than the stream, whose own was refused
// meanwhile.
func (s *Stream) Outdated() bool {
	if s == nil || s.c.cfg.Auth == nil {
		return false
	}
	t, _ := s.pick.Token.(*auth.Token)
	return s.c.cfg.Auth.Token() != t
}

// Close ends the stream from this side, if it has not ended yet.
func (s *Stream) Close() { s.end() }

func (s *Stream) end() {
	s.once.Do(func() {
		s.pick.Cancel(nil)
		s.pick.Finish(balancer.Unanswered)
	})
}

// named adds method and member to an error of our own kind.
func (c *Conn) named(method string, m *balancer.Member, err error) error {
	if e, ok := err.(*etcderr.Error); ok {
		e.Method = method
		if m != nil && len(e.Tried) == 0 {
			e.Tried = []etcderr.Attempt{{Member: m.Name(), Err: e.Cause}}
		}
	}
	return err
}

// Credentials attach the current token to every call.
func Credentials(k *auth.Keeper) TokenCredentials { return TokenCredentials{k} }

// TokenCredentials implements credentials.PerRPCCredentials.
type TokenCredentials struct{ keeper *auth.Keeper }

// GetRequestMetadata records in the attempt which token it has.
func (t TokenCredentials) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	if balancer.Bare(ctx) {
		return nil, nil
	}
	token, p := t.keeper.Token(), balancer.PickOf(ctx)
	switch {
	case token != nil:
		if p != nil {
			p.Token = token
		}
		return token.Metadata(), nil
	case p != nil && p.Stream && t.keeper.Lacks():
		// Without a token it would be refused, which shows only after the way to and fro.
		p.Void = true
		return nil, rpctypes.ErrGRPCInvalidAuthToken
	}
	return nil, nil
}

// RequireTransportSecurity is false: etcd's tokens are used over plain text too,
// as the user has configured the endpoints.
func (t TokenCredentials) RequireTransportSecurity() bool { return false }
