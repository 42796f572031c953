package retry

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/internal/balancer"
)

// key is the key of a context's value. One type for all keys makes programs smaller.
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
	nameKey
)

// Pin returns a context whose calls go to m only.
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

// WithEarlyDoubt returns a context whose writes leave a silent or stalled member, as reads do. A
// write that may have been executed there is not repeated. It fails soon, with an unknown outcome,
// for a caller that can find out the outcome.
func WithEarlyDoubt(ctx context.Context) context.Context {
	return context.WithValue(ctx, earlyKey, true)
}

// WithSent returns a context whose repeatable write records in t when its successful attempt found
// its member. The server does not know of the wait before, for a token or a member.
func WithSent(ctx context.Context, t *time.Time) context.Context {
	return context.WithValue(ctx, sentKey, t)
}

// WithRepeatWhile returns a context whose calls are repeated only while needed returns true: a call
// for several callers may become unnecessary before its own context ends.
func WithRepeatWhile(ctx context.Context, needed func() bool) context.Context {
	return context.WithValue(ctx, whileKey, needed)
}

// WithBulk returns a context whose ranges use the connection for much data.
func WithBulk(ctx context.Context) context.Context {
	return context.WithValue(ctx, bulkKey, true)
}

// WithNames returns a context whose reads of ranges are not sent. Instead named is called with the
// first key of the range, by etcd's name, and ends the context; so whatever stands between the
// caller and this package, and may give keys other names, takes it for a caller that leaves.
func WithNames(ctx context.Context, named func(key []byte)) context.Context {
	return context.WithValue(ctx, nameKey, named)
}

// Named reports whether a read of the range from key on is not to be sent, see WithNames.
func Named(ctx context.Context, key []byte) bool {
	named, ok := ctx.Value(nameKey).(func([]byte))
	if ok {
		named(key)
	}
	return ok
}

var failFast = []grpc.CallOption{grpc.WaitForReady(false)}

// options adds the options in the context to a call's own.
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
