package etcderr

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
)

// Class says what an error means for the member it came from and for the call.
type Class uint8

const (
	// Final: repeating the request cannot help; the member is fine.
	Final Class = iota
	// Ended: the caller's context ended.
	Ended
	// Broken: the connection failed or the server is going away.
	Broken
	// NoLeader: the member is alive, but knows no leader. Not executed.
	NoLeader
	// NoQuorum: the member is alive, but could not finish the request within its
	// own time. It may have been executed, or be executed later.
	NoQuorum
	// Moved: the leadership moved while the request was under way, which ended it.
	// The member is fine; the request may have been executed.
	Moved
	// Overload: the member refused before doing anything, because it has too much to do
	// or is just handing over the leadership; try later.
	Overload
	// Token: the authentication token is not valid any more. Not executed.
	Token
	// Learner: the member is a learner and serves no ordinary calls. Not executed.
	Learner
)

// errLearner has no exported client-side variable in rpctypes.
var errLearner = rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner)

// ClassOf classifies any error of a call.
func ClassOf(err error) Class {
	if known := Known(err); known != nil {
		switch known {
		case rpctypes.ErrNoLeader:
			return NoLeader
		case rpctypes.ErrTimeout, rpctypes.ErrTimeoutDueToLeaderFail, rpctypes.ErrTimeoutDueToConnectionLost,
			rpctypes.ErrTimeoutWaitAppliedIndex:
			return NoQuorum
		case rpctypes.ErrLeaderChanged:
			return Moved
		case rpctypes.ErrStopped:
			return Broken
		case rpctypes.ErrTooManyRequests:
			return Overload
		case rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthOldRevision:
			return Token
		case errLearner:
			return Learner
		}
		if c := Code(known); c == codes.Canceled || c == codes.DeadlineExceeded {
			return Ended // the server noticed the end of the caller's time first
		}
		return Final
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Ended
	}
	var ours *Error
	if errors.As(err, &ours) && errors.Is(err, ErrClosed) {
		return Final
	}
	if dropped(err) {
		return Overload
	}
	switch Code(err) {
	case codes.Canceled, codes.DeadlineExceeded:
		return Ended
	case codes.Unavailable:
		return Broken
	case codes.Unauthenticated:
		return Token
	}
	return Final
}

// NotExecuted reports that err proves that the request was not executed, and
// will not be: it never left this process, or a server refused it before it
// was proposed to the cluster or while it was applied. False for nil.
func NotExecuted(err error) bool {
	if err == nil {
		return false
	}
	var ours *Error
	if errors.As(err, &ours) {
		return ours.Unexecuted || definite(ours.Status, nil)
	}
	var refused *refusal
	return errors.As(err, &refused) || definite(Code(err), Known(err)) || dropped(err)
}

// refusal is an error of a package above the client.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

// Refusal returns an error, without a code, that proves that nothing was executed.
func Refusal(text string) error { return &refusal{text} }

// proposalDropped is the answer of a member that is handing over the leadership: it has not
// proposed the request. The answer has no code and no variable of its own.
const proposalDropped = "raft proposal dropped"

func dropped(err error) bool {
	var ours *Error
	if errors.As(err, &ours) {
		err = ours.Cause
	}
	return Code(err) == codes.Unknown && Text(err) == proposalDropped
}

// definite reports which answers exclude execution. The server's validation, permission and
// precondition checks give codes of this kind. ResourceExhausted is one only when etcd itself gave
// it: gRPC uses the same code for an answer that was too large to receive, after the request was
// executed.
func definite(code codes.Code, known error) bool {
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.Unauthenticated, codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented:
		return true
	case codes.ResourceExhausted:
		return known != nil
	}
	// ErrUnhealthy refuses a reconfiguration before it is proposed, because another member is away.
	return known == rpctypes.ErrNoLeader || known == rpctypes.ErrUnhealthy
}

// OutcomeUnknown reports that a write that failed with err may have been
// executed, or may be later: an unanswered proposal can commit long after, for
// instance when a frozen leader thaws. A bare context error counts, since it
// does not say how far the request came. False for nil.
func OutcomeUnknown(err error) bool { return err != nil && !NotExecuted(err) }

// Same reports that a and b are the same answer of the server, whichever of the
// two forms (client-side or gRPC) each has, or that errors.Is(a, b) holds.
func Same(a, b error) bool {
	if errors.Is(a, b) {
		return true
	}
	if a == nil || b == nil {
		return false
	}
	ka, kb := Known(a), Known(b)
	if ka != nil || kb != nil {
		return ka == kb
	}
	return Code(a) == Code(b) && Text(a) == Text(b)
}
