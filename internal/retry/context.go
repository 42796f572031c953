package retry

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/internal/balancer"
)

// key is of what a context asks for. One type for all keys makes programs smaller.
type key uint8

const (
	pinKey key = iota
	failFastKey
	repeatKey
	earlyKey
	sentKey
	whileKey
	bulkKey
	streamKey
)

// Pin returns a context whose calls go to m and nowhere else.
func Pin(ctx context.Context, m *balancer.Member) context.Context {
	return context.WithValue(ctx, pinKey, m)
}

// WithFailFast returns a context whose calls fail at once when no member is
// available.
func WithFailFast(ctx context.Context) context.Context {
	return context.WithValue(ctx, failFastKey, true)
}

// WithRepeat returns a context whose writes are repeated although an earlier attempt
// may have been executed.
func WithRepeat(ctx context.Context) context.Context {
	return context.WithValue(ctx, repeatKey, true)
}

// WithEarlyDoubt returns a context whose writes do not stay on a member that is silent or stalled,
// as reads do not. A write that may have been executed there is not repeated. It fails soon, with
// an unknown outcome, for a caller who can find out.
func WithEarlyDoubt(ctx context.Context) context.Context {
	return context.WithValue(ctx, earlyKey, true)
}

// WithSent returns a context whose repeatable write notes in t when the attempt that succeeded
// found its member. The server knows nothing of the waiting before that, for a token or a place.
func WithSent(ctx context.Context, t *time.Time) context.Context {
	return context.WithValue(ctx, sentKey, t)
}

// WithRepeatWhile returns a context whose calls are repeated only while needed returns true: a call
// for several callers at once can lose one of them before its own context ends.
func WithRepeatWhile(ctx context.Context, needed func() bool) context.Context {
	return context.WithValue(ctx, whileKey, needed)
}

// WithBulk returns a context whose ranges have the connection for much data.
func WithBulk(ctx context.Context) context.Context {
	return context.WithValue(ctx, bulkKey, true)
}

var failFast = []grpc.CallOption{grpc.WaitForReady(false)}

// options adds what the context asks for to a call's own options.
func options(ctx context.Context, opts []grpc.CallOption) []grpc.CallOption {
	if len(opts) == 1 {
		if _, ok := opts[0].(grpc.StaticMethodCallOption); ok {
			opts = nil // generated code adds it; it serves metrics only and costs a copy of the defaults
		}
	}
	if ctx.Value(failFastKey) != nil {
		if len(opts) == 0 {
			return failFast
		}
		return append(append(make([]grpc.CallOption, 0, len(opts)+1), opts...), failFast[0])
	}
	return opts
}
