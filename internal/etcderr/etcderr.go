// Package etcderr is the only place that classifies errors.
//
// A call to etcd can fail in four forms, and users get each unchanged (programs compare with ==):
//
//   - the context's own error, bare, when the caller's context ended;
//   - a value of the api module's rpctypes, bare, when the server gave one of
//     its known answers;
//   - an error that a user's interceptor made up, bare: it is not a gRPC status;
//   - an *Error for all else, which wraps its cause, has a gRPC status and lists the attempts.
//
// For each of them this package answers the operational questions: which code is it, may the
// request have been executed, and what does it show about the member that it came from.
package etcderr

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Attempt is one attempt of a call.
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
	// Misconfigured: no endpoint can work as configured (TLS, certificates, another protocol), and
	// waiting helps only if the configuration is corrected.
	Misconfigured bool
}

// Error begins as gRPC's errors do and with gRPC's own words, since programs look for them; further
// details follow. An error outside of a call, for example of a configuration, does not have that
// form.
func (e *Error) Error() string {
	if e.Status == codes.DeadlineExceeded && errors.Is(e.Cause, context.DeadlineExceeded) {
		return e.message() // the context's own error, with the answer that did not come
	}
	if e.Method == "" && statusOf(e.Cause) == nil {
		return "etcd client: " + e.message()
	}
	return fmt.Sprintf("rpc error: code = %s desc = %s", e.Status, e.message())
}

// message returns the text without the common beginning of all errors of calls.
func (e *Error) message() string {
	words := e.words()
	var more []string
	if e.Method != "" {
		more = append(more, e.Method)
	}
	if e.Reason != "" && e.Reason != words {
		more = append(more, e.Reason)
	}
	if len(e.Tried) > 1 || (len(e.Tried) == 1 && e.Tried[0].Member != "") {
		tried := make([]string, len(e.Tried))
		for i, a := range e.Tried {
			tried[i] = a.text(words)
		}
		more = append(more, "tried "+strings.Join(tried, ", "))
	}
	if len(more) == 0 {
		return words
	}
	return words + " (" + strings.Join(more, "; ") + ")"
}

// words returns gRPC's message if there is one, else our own.
func (e *Error) words() string {
	if s := statusOf(e.Cause); s != nil {
		return s.Message()
	}
	switch {
	case e.Reason != "":
		return e.Reason
	case e.Cause != nil:
		return e.Cause.Error()
	}
	return e.Status.String()
}

// text describes an attempt, without its error if the text has that already.
func (a Attempt) text(said string) string {
	t := a.Member
	if t == "" {
		t = "no member"
	}
	if took := a.Took.Round(time.Millisecond); took > 0 {
		t += " for " + took.String()
	}
	if a.Err != nil && Text(a.Err) != said {
		t += ": " + Text(a.Err)
	}
	return t
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// GRPCStatus lets status.FromError and status.Code understand the error.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Status, e.message()) }

// IsStatus reports whether err is a gRPC status, as all errors of calls are unless an interceptor
// made them up.
func IsStatus(err error) bool {
	_, is := err.(interface{ GRPCStatus() *status.Status })
	return is
}

// statusOf returns the gRPC status in err, nil if there is none.
func statusOf(err error) *status.Status {
	var s interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &s) {
		return nil
	}
	return s.GRPCStatus()
}

// Late returns the error of a call that has waited until its deadline for e to be corrected.
func (e *Error) Late() *Error {
	l := *e
	l.Status, l.Cause = codes.DeadlineExceeded, fmt.Errorf("%w: %w", context.DeadlineExceeded, e.Cause)
	return &l
}

// Invalid returns the error of a request that is invalid before it is sent. It is not inlined: its
// copies made programs larger.
//
//go:noinline
func Invalid(method, format string, args ...any) *Error {
	return &Error{Method: method, Status: codes.InvalidArgument, Reason: fmt.Sprintf(format, args...), Unexecuted: true}
}

// ErrClosed is the cause of every failure that comes from using a closed client.
var ErrClosed = errors.New("the client is closed")

// errClosed is ErrClosed in gRPC's form, equal to gRPC's own error for a closed connection.
var errClosed = fmt.Errorf("%w: %w", ErrClosed, status.Error(codes.Canceled, "grpc: the client connection is closing"))

// Closed returns the error of a call on a closed client. It is not inlined, as Invalid.
//
//go:noinline
func Closed(method string) *Error {
	return &Error{Method: method, Status: codes.Canceled, Cause: errClosed, Unexecuted: true}
}

// Text returns err's message without gRPC's "rpc error: code = ..." in front.
func Text(err error) string {
	if err == nil {
		return ""
	}
	if s, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return s.GRPCStatus().Message()
	}
	return err.Error()
}

// ShortMethod turns "/etcdserverpb.KV/Put" into "KV.Put".
func ShortMethod(full string) string {
	full = strings.TrimPrefix(full, "/")
	full = full[strings.LastIndexByte(full, '.')+1:]
	return strings.ReplaceAll(full, "/", ".")
}

// deadlineSlack: a server knows the caller's deadline, and on a fast link its "deadline exceeded"
// can arrive just before the caller's own timer has fired. For a proposal that waits, it also comes
// as one of timeouts.
const deadlineSlack = 50 * time.Millisecond

// timeouts are the errors with which a server reports that a proposal was not committed in time.
var timeouts = []error{rpctypes.ErrTimeout, rpctypes.ErrTimeoutDueToLeaderFail, rpctypes.ErrTimeoutDueToConnectionLost}

// due reports whether the time of ctx is over, or will be very soon.
func due(ctx context.Context) bool {
	if ctx == nil {
		return false
	}
	d, ok := ctx.Deadline()
	return ok && time.Until(d) < deadlineSlack
}

// From turns the error of an RPC into the form that users see, without the
// history of attempts. It leaves errors alone that already have that form.
func From(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	known := Known(err)
	code := Code(err)
	if known != nil && code != codes.Canceled && code != codes.DeadlineExceeded {
		if slices.Contains(timeouts, known) && due(ctx) {
			return context.DeadlineExceeded
		}
		return known
	}
	var ours *Error
	if errors.As(err, &ours) {
		return err
	}
	if err == context.Canceled || err == context.DeadlineExceeded {
		return err
	}
	if ended := endOf(ctx, code); ended != nil {
		return ended
	}
	if known != nil {
		return known
	}
	if !IsStatus(err) {
		return err
	}
	return &Error{Status: code, Cause: err}
}

// endOf returns the context's error if the end of ctx made a call fail with code, else nil. A
// stream whose time ends within a message appears as one that was cut off, which is Internal.
func endOf(ctx context.Context, code codes.Code) error {
	if ctx == nil {
		return nil
	}
	switch code {
	case codes.Canceled, codes.DeadlineExceeded, codes.Internal, codes.Unavailable, codes.Unknown:
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	switch code {
	case codes.DeadlineExceeded, codes.Internal:
		if due(ctx) {
			return context.DeadlineExceeded
		}
	}
	return nil
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
	unavailable := strings.HasPrefix(text, "rpc error: code = Unavailable ")
	if i := strings.Index(text, "desc = "); i >= 0 && strings.HasPrefix(text, "rpc error:") {
		text = text[i+len("desc = "):]
	}
	if known := rpctypes.Error(errors.New(text)); known != nil {
		if e, ok := known.(rpctypes.EtcdError); ok {
			return byText(e)
		}
	}
	switch {
	case text == "":
		return nil
	case unavailable: // etcd's gRPC proxy has lost its own member
		return status.Error(codes.Unavailable, text)
	}
	// An unknown text without a code.
	return errors.New(text)
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

// Code returns the gRPC code of any error; OK for nil, Unknown for one without a code.
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
	if s := statusOf(err); s != nil {
		return s.Code()
	}
	switch {
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	}
	return codes.Unknown
}
