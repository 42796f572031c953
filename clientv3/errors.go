package clientv3

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/watch"
)

// Errors of New.
var (
	ErrNoAvailableEndpoints = errors.New("etcdclient: no available endpoints")
	ErrOldCluster           = errors.New("etcdclient: old cluster version")
	ErrMutuallyExclusiveCfg = errors.New("Username/Password and Token configurations are mutually exclusive")
)

// ErrClosed is the cause (errors.Is) of every error that comes from using a
// closed client. [IsConnCanceled] is true for it.
var ErrClosed = etcderr.ErrClosed

// ErrHistoryLost is the cause (errors.Is) of the error that ends a watch when the
// cluster has lost history that the watch had already seen: it was restored from
// a backup or replaced.
var ErrHistoryLost = watch.ErrHistoryLost

var errInvalidSort = rpctypes.ErrInvalidSortOption

// Error is every error that is neither a bare context error nor an rpctypes value, and that no
// interceptor of the user made. It says what failed, why, and what was tried on which member; it
// wraps its cause and carries a gRPC status.
type Error = etcderr.Error

// Attempt is one try of a call, as listed by Error.
type Attempt = etcderr.Attempt

// Code returns the gRPC code of any error of this package: of a bare context
// error and of rpctypes values too. It is OK for nil and Unknown for an error
// without a code.
func Code(err error) codes.Code { return etcderr.Code(err) }

// OutcomeUnknown reports that a write that failed with err may have been executed,
// or may be executed later: an unanswered write can take effect long after, for
// instance when a frozen leader thaws. A bare context error counts, since it does
// not say how far the request came. False for nil.
func OutcomeUnknown(err error) bool { return etcderr.OutcomeUnknown(err) }

// SafeToRetry reports that repeating the call that failed with err cannot execute
// it twice: the request never left this process, or the server refused it. It says
// nothing about whether repeating helps. False for nil.
func SafeToRetry(err error) bool { return etcderr.NotExecuted(err) }

// Refusal returns an error for code above the client that refuses a request, or finds out that it
// did nothing: [SafeToRetry] is true for it. Its gRPC code is Unknown.
func Refusal(text string) error { return etcderr.Refusal(text) }

// SameError reports that errors.Is(err, target) holds, or that both are the same
// answer of the server, one perhaps in its client-side form (rpctypes.ErrNoLeader)
// and the other in its gRPC form (rpctypes.ErrGRPCNoLeader).
func SameError(err, target error) bool { return etcderr.Same(err, target) }

// ContextError turns the error of an RPC into the form in which this package
// returns errors: the context's error if ctx ended, the rpctypes value if the
// server gave one of its known answers, an error that is no gRPC status as it is
// (an interceptor made it), else an *Error.
func ContextError(ctx context.Context, err error) error { return etcderr.From(ctx, err) }

// IsConnCanceled reports that err comes from a closed client or connection, or from
// a cancelled context.
func IsConnCanceled(err error) bool {
	if err == nil {
		return false
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, ErrClosed) || etcderr.Code(err) == codes.Canceled
}

// errNilContext is not inlined: its copies made programs larger.
//
//go:noinline
func errNilContext(method string) error { return etcderr.Invalid(method, "the context is nil") }
