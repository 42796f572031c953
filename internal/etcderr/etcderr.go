// Package etcderr is the only place that classifies errors.
//
// A call to etcd can fail in three forms, and users see each as it is
// (programs compare with ==):
//
//   - the context's own error, bare, when the caller's context ended;
//   - a value of the api module's rpctypes, bare, when the server gave one of
//     its known answers;
//   - an *Error for all else, which wraps its cause, carries a gRPC status and
//     lists what was tried.
//
// For each of them this package answers the operational questions: which code
// is it, may the request have been executed, and what does it say of the member
// that it came from.
package etcderr

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Attempt is one try of a call.
type Attempt struct {
	Member string // endpoint, "" if none could be picked
	Err    error
	Took   time.Duration
}

// Error is a failure that neither the caller's context nor a known answer of
// the server explains.
type Error struct {
	Method string     // "KV.Put", or "" outside of a call
	Status codes.Code // never OK
	Reason string     // in plain words; the cause's text if empty
	Cause  error      // may be nil
	Tried  []Attempt  // oldest first
	// Unexecuted: provably no server executed the request.
	Unexecuted bool
}

// Error says what failed, why, and what was tried.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("etcd client: ")
	if e.Method != "" {
		b.WriteString(e.Method + ": ")
	}
	if e.Reason != "" {
		b.WriteString(e.Reason)
	} else if e.Cause != nil {
		b.WriteString(Text(e.Cause))
	} else {
		b.WriteString(e.Status.String())
	}
	if len(e.Tried) > 1 || (len(e.Tried) == 1 && e.Tried[0].Member != "") {
		b.WriteString(" (tried ")
		for i, a := range e.Tried {
			if i > 0 {
				b.WriteString("; ")
			}
			if a.Member == "" {
				a.Member = "no member"
			}
			fmt.Fprintf(&b, "%s for %v", a.Member, a.Took.Round(time.Millisecond))
			if t := Text(a.Err); a.Err != nil && t != e.Reason && (i < len(e.Tried)-1 || e.Reason != "") {
				b.WriteString(": " + t)
			}
		}
		b.WriteString(")")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// GRPCStatus lets status.FromError and status.Code understand the error.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Status, e.Error()) }

// Invalid is the error for a request that is wrong before it is sent.
func Invalid(method, format string, args ...any) *Error {
	return &Error{Method: method, Status: codes.InvalidArgument, Reason: fmt.Sprintf(format, args...), Unexecuted: true}
}

// ErrClosed is the cause of every failure that comes from using a closed client.
var ErrClosed = errors.New("the client is closed")

// Closed is the error of a call on a closed client. Its code is Canceled, as
// gRPC's own error for a closed connection has it.
func Closed(method string) *Error {
	return &Error{Method: method, Status: codes.Canceled, Cause: ErrClosed, Unexecuted: true}
}

// Text is err's message without gRPC's "rpc error: code = ..." in front.
func Text(err error) string {
	if err == nil {
		return ""
	}
	if s, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		if _, ours := err.(*Error); !ours {
			return s.GRPCStatus().Message()
		}
	}
	return err.Error()
}

// ShortMethod turns "/etcdserverpb.KV/Put" into "KV.Put".
func ShortMethod(full string) string {
	full = strings.TrimPrefix(full, "/")
	full = full[strings.LastIndexByte(full, '.')+1:]
	return strings.ReplaceAll(full, "/", ".")
}

// deadlineSlack: a server is told the caller's deadline, and on a fast link its
// "deadline exceeded" can arrive just before the caller's own timer has fired.
const deadlineSlack = 50 * time.Millisecond

// From turns the error of an RPC into the form that users see, without the
// history of attempts. It leaves errors alone that already have that form.
func From(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	known := Known(err)
	code := Code(err)
	if known != nil && code != codes.Canceled && code != codes.DeadlineExceeded {
		return known
	}
	var ours *Error
	if errors.As(err, &ours) {
		return err
	}
	if err == context.Canceled || err == context.DeadlineExceeded {
		return err
	}
	if code == codes.Canceled || code == codes.DeadlineExceeded || code == codes.Unavailable || code == codes.Unknown {
		if ctx != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if code == codes.DeadlineExceeded && ctx != nil {
		if d, ok := ctx.Deadline(); ok && time.Until(d) < deadlineSlack {
			return context.DeadlineExceeded
		}
	}
	if known != nil {
		return known
	}
	return &Error{Status: code, Cause: err}
}

// Known returns the rpctypes value for an error of the server that has one, in
// client-side or in gRPC form, and nil for all others.
func Known(err error) error {
	if e, ok := err.(rpctypes.EtcdError); ok {
		return e
	}
	var ours *Error
	if errors.As(err, &ours) {
		return nil // what it wraps is a cause, not the answer
	}
	var e rpctypes.EtcdError
	if errors.As(err, &e) {
		return e
	}
	if s, ok := status.FromError(err); ok && s.Code() != codes.OK {
		if e, ok := rpctypes.Error(status.Error(s.Code(), s.Message())).(rpctypes.EtcdError); ok {
			return e
		}
	}
	return nil
}

// FromReason turns the text that a server gives for cancelling a watch into an
// error: the rpctypes value if the text is one of the server's known answers.
// Servers send it with or without gRPC's code in front.
func FromReason(text string) error {
	text = strings.TrimSpace(text)
	if i := strings.Index(text, "desc = "); i >= 0 && strings.HasPrefix(text, "rpc error:") {
		text = text[i+len("desc = "):]
	}
	if known := rpctypes.Error(errors.New(text)); known != nil {
		if e, ok := known.(rpctypes.EtcdError); ok {
			return byText(e)
		}
	}
	if text == "" {
		return nil
	}
	return &Error{Status: codes.Canceled, Reason: text}
}

// byText repairs the code of a value that was looked up by its text alone, so
// that it equals the exported variable.
func byText(e rpctypes.EtcdError) error {
	for _, known := range []error{
		rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthOldRevision, rpctypes.ErrPermissionDenied,
		rpctypes.ErrNoLeader, rpctypes.ErrCompacted, rpctypes.ErrFutureRev, rpctypes.ErrUserEmpty,
		rpctypes.ErrAuthFailed, rpctypes.ErrStopped, rpctypes.ErrUserNotFound, rpctypes.ErrAuthNotEnabled,
		rpctypes.ErrTimeout, rpctypes.ErrLeaderChanged, rpctypes.ErrCorrupt, rpctypes.ErrTooManyRequests,
	} {
		if known.Error() == e.Error() {
			return known
		}
	}
	return e
}

// Code is the gRPC code of any error; OK for nil, Unknown for one without.
func Code(err error) codes.Code {
	if err == nil {
		return codes.OK
	}
	var ours *Error
	if errors.As(err, &ours) {
		return ours.Status
	}
	var known rpctypes.EtcdError
	if errors.As(err, &known) {
		return known.Code()
	}
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return s.GRPCStatus().Code()
	}
	switch {
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	}
	return codes.Unknown
}
