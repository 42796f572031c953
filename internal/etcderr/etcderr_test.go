package etcderr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestFromReturnsBareValues(t *testing.T) {
	bg := context.Background()
	ended, cancel := context.WithCancel(bg)
	cancel()
	past, cancel2 := context.WithDeadline(bg, time.Now().Add(10*time.Millisecond))
	defer cancel2()
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		want error
	}{
		{"nil", bg, nil, nil},
		{"server's value in gRPC form", bg, rpctypes.ErrGRPCEmptyKey, rpctypes.ErrEmptyKey},
		{"server's value as received", bg, status.Error(codes.InvalidArgument,
			"etcdserver: key is not provided"), rpctypes.ErrEmptyKey},
		{"already client-side", bg, rpctypes.ErrCompacted, rpctypes.ErrCompacted},
		{"cancelled call", ended, status.Error(codes.Canceled, "context canceled"), context.Canceled},
		{"connection lost while cancelled", ended, status.Error(codes.Unavailable, "closing"), context.Canceled},
		{"server's own words for it", past, rpctypes.ErrGRPCDeadlineExceeded, context.DeadlineExceeded},
		{"server's deadline came first", past, status.Error(codes.DeadlineExceeded,
			"context deadline exceeded"), context.DeadlineExceeded},
		{"cut off within a message", ended, status.Error(codes.Internal, "unexpected EOF"), context.Canceled},
		{"cut off by the server's deadline", past, status.Error(codes.Internal,
			"unexpected EOF"), context.DeadlineExceeded},
	} {
		if got := From(c.ctx, c.err); got != c.want {
			t.Errorf("%s: got %#v, want %#v", c.name, got, c.want)
		}
	}
}

func TestFromWrapsTheRest(t *testing.T) {
	cause := status.Error(codes.Unavailable, "connection refused")
	err := From(context.Background(), cause)
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, cause) || status.Code(err) != codes.Unavailable {
		t.Fatalf("%#v does not wrap its cause with its code", err)
	}
	if err.Error() != cause.Error() {
		t.Errorf("message: %s", err)
	}
	if From(context.Background(), err) != err {
		t.Error("a finished error was wrapped again")
	}
}

// Programs look for gRPC's words at the beginning of an error's text, and parse its status. What we
// add comes after them.
func TestErrorBeginsWithGRPCsWords(t *testing.T) {
	cut := status.Error(codes.Unavailable, "error reading from server: EOF")
	for _, c := range []struct {
		err  *Error
		want string
	}{
		{&Error{Method: "KV.Put", Status: codes.Unavailable, Cause: cut},
			"rpc error: code = Unavailable desc = error reading from server: EOF (KV.Put)"},
		{&Error{Method: "KV.Put", Status: codes.Unavailable, Cause: cut, Tried: []Attempt{
			{"a:1", cut, 20 * time.Millisecond},
		}},
			"rpc error: code = Unavailable desc = error reading from server: EOF (KV.Put; tried a:1 for 20ms)"},
		{&Error{Method: "KV.Range", Status: codes.Unavailable, Cause: cut, Tried: []Attempt{
			{"a:1", io.EOF, time.Second}, {"b:1", cut, 0},
		}},
			"rpc error: code = Unavailable desc = error reading from server: EOF (KV.Range; tried a:1 for 1s: EOF, " +
				"b:1)"},
		{&Error{Method: "KV.Put", Status: codes.ResourceExhausted, Reason: "the request has 9 " +
			"bytes", Cause: status.Error(codes.ResourceExhausted, "too large")},
			"rpc error: code = ResourceExhausted desc = too large (KV.Put; the request has 9 bytes)"},
		{&Error{Method: "KV.Put", Status: codes.Unavailable, Cause: errors.New("no member is available: a:1: refused")},
			"rpc error: code = Unavailable desc = no member is available: a:1: refused (KV.Put)"},
		{Invalid("KV.Put", "no such option"), "rpc error: code = InvalidArgument desc = no such option (KV.Put)"},
		{Closed("KV.Put"), "rpc error: code = Canceled desc = grpc: the client connection is closing (KV.Put)"},
		{Closed(""), "rpc error: code = Canceled desc = grpc: the client connection is closing"},
		{Invalid("", "endpoint x"), "etcd client: endpoint x"}, // about no call
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		s, ok := status.FromError(c.err)
		if full := s.Err().Error(); !ok || s.Code() != c.err.Status || c.err.Cause != nil && full != c.want {
			t.Errorf("the status of %q is %q", c.want, full)
		}
	}
	if !errors.Is(Closed("KV.Put"), ErrClosed) ||
		!errors.Is(Closed("KV.Put"), status.Error(codes.Canceled, "grpc: the client connection is closing")) {
		t.Error("a closed client is neither ours nor gRPC's")
	}
}

func TestErrorListsAttempts(t *testing.T) {
	e := &Error{Method: "KV.Get", Status: codes.Unavailable, Reason: "no member available", Tried: []Attempt{
		{"a:1", errors.New("connection refused"), time.Millisecond}, {"b:1", errors.New("frozen"), 2 * time.Second},
	}}
	for _, want := range []string{"KV.Get", "no member available", "a:1", "connection refused", "b:1", "frozen", "2s"} {
		if !strings.Contains(e.Error(), want) {
			t.Errorf("%q is missing in %q", want, e)
		}
	}
}

func TestClassAndOutcome(t *testing.T) {
	for _, c := range []struct {
		err     error
		class   Class
		unknown bool // outcome of a write
	}{
		{context.Canceled, Ended, true},
		{context.DeadlineExceeded, Ended, true},
		{rpctypes.ErrGRPCDeadlineExceeded, Ended, true},
		{rpctypes.ErrGRPCCanceled, Ended, true},
		{rpctypes.ErrEmptyKey, Final, false},
		{rpctypes.ErrGRPCEmptyKey, Final, false},
		{rpctypes.ErrNoLeader, NoLeader, false},
		{rpctypes.ErrTimeout, NoQuorum, true},
		{rpctypes.ErrUnhealthy, Final, false},
		{rpctypes.ErrLeaderChanged, Moved, true},
		{rpctypes.ErrStopped, Broken, true},
		{rpctypes.ErrTooManyRequests, Overload, false},
		{status.Error(codes.Unknown, "raft proposal dropped"), Overload, false},
		{&Error{
			Status: codes.Unknown, Cause: status.Error(codes.Unknown, "raft proposal dropped"), Unexecuted: true,
		}, Overload, false},
		{status.Error(codes.Unknown, "raft stopped"), Final, true},
		{rpctypes.ErrNoSpace, Final, false},
		{rpctypes.ErrInvalidAuthToken, Token, false},
		{rpctypes.ErrAuthOldRevision, Token, false},
		{rpctypes.ErrGRPCNotSupportedForLearner, Learner, false},
		{status.Error(codes.Unavailable, "connection reset"), Broken, true},
		{status.Error(codes.ResourceExhausted, "received message larger than max"), Final, true},
		{status.Error(codes.Internal, "x"), Final, true},
		{&Error{Status: codes.Unavailable, Unexecuted: true}, Broken, false},
		{&Error{Status: codes.Unavailable}, Broken, true},
		{&Error{Status: codes.Unavailable, Cause: rpctypes.ErrNoLeader}, Broken, true}, // the cause is not the answer
		{Closed("KV.Put"), Final, false},
		{Invalid("KV.Put", "no"), Final, false},
		{io.EOF, Final, true},
		{Refusal("not the owner"), Final, false},
		{fmt.Errorf("of this one: %w", Refusal("not the owner")), Final, false},
	} {
		if got := ClassOf(c.err); got != c.class {
			t.Errorf("ClassOf(%v) = %v, want %v", c.err, got, c.class)
		}
		if got := OutcomeUnknown(c.err); got != c.unknown {
			t.Errorf("OutcomeUnknown(%v) = %v", c.err, got)
		}
		if NotExecuted(c.err) == c.unknown {
			t.Errorf("NotExecuted(%v) contradicts OutcomeUnknown", c.err)
		}
	}
	if OutcomeUnknown(nil) || NotExecuted(nil) {
		t.Error("nil is not a failure")
	}
}

func TestFromReason(t *testing.T) {
	for text, want := range map[string]error{
		"etcdserver: permission denied":                                           rpctypes.ErrPermissionDenied,
		"rpc error: code = PermissionDenied desc = etcdserver: permission denied": rpctypes.ErrPermissionDenied,
		"rpc error: code = Unauthenticated desc = etcdserver: invalid auth token": rpctypes.ErrInvalidAuthToken,
		"etcdserver: no leader":                                                   rpctypes.ErrNoLeader,
	} {
		if got := FromReason(text); got != want {
			t.Errorf("FromReason(%q) = %#v, want %#v", text, got, want)
		}
	}
	if err := FromReason("something new"); err == nil || !strings.Contains(err.Error(), "something new") {
		t.Errorf("unknown reason: %v", err)
	}
	lost := FromReason("rpc error: code = Unavailable desc = error reading from server: EOF")
	if Code(lost) != codes.Unavailable || !strings.Contains(lost.Error(), "error reading from server: EOF") {
		t.Errorf("a proxy without a member: %v", lost)
	}
	if FromReason("") != nil {
		t.Error("no reason is no error")
	}
}

func TestSameAndCode(t *testing.T) {
	if !Same(rpctypes.ErrGRPCNoLeader, rpctypes.ErrNoLeader) || !Same(rpctypes.ErrNoLeader, rpctypes.ErrGRPCNoLeader) {
		t.Error("the two forms of one answer differ")
	}
	if Same(rpctypes.ErrNoLeader, rpctypes.ErrTimeout) || Same(nil, rpctypes.ErrTimeout) ||
		Same(io.EOF, context.Canceled) {
		t.Error("different errors are the same")
	}
	if !Same(fmt.Errorf("x: %w", io.EOF), io.EOF) {
		t.Error("wrapping hides identity")
	}
	for err, want := range map[error]codes.Code{nil: codes.OK, io.EOF: codes.Unknown, context.Canceled: codes.Canceled,
		rpctypes.ErrNoLeader: codes.Unavailable, rpctypes.ErrGRPCCompacted: codes.OutOfRange} {
		if got := Code(err); got != want {
			t.Errorf("Code(%v) = %v, want %v", err, got, want)
		}
	}
	if ShortMethod("/etcdserverpb.KV/Put") != "KV.Put" {
		t.Error(ShortMethod("/etcdserverpb.KV/Put"))
	}
}

func ExampleFrom() {
	err := From(context.Background(),
		status.Error(codes.OutOfRange, "etcdserver: mvcc: required revision has been compacted"))
	fmt.Println(err == rpctypes.ErrCompacted)
	// Output: true
}

// A server knows the caller's deadline. If it answers "timed out" at that moment, the caller's
// deadline has passed.
func TestServersTimeoutAtTheDeadline(t *testing.T) {
	soon, cancel := context.WithTimeout(t.Context(), deadlineSlack/2)
	defer cancel()
	later, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for _, timeout := range timeouts {
		grpcs := status.Error(codes.Unavailable, timeout.Error())
		if err := From(soon, grpcs); err != context.DeadlineExceeded {
			t.Errorf("%v at the deadline: %v", timeout, err)
		}
		for _, ctx := range []context.Context{later, t.Context(), nil} {
			if err := From(ctx, grpcs); err != timeout {
				t.Errorf("%v: %v", timeout, err)
			}
		}
	}
	if err := From(soon, status.Error(codes.Unavailable, rpctypes.ErrNoLeader.Error())); err != rpctypes.ErrNoLeader {
		t.Errorf("another answer at the deadline: %v", err)
	}
}
