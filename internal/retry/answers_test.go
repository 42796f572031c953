package retry_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/internal/auth"
	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/retry"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// chunks reads a snapshot to its end.
func (r *rig) chunks(ctx context.Context) (n int, err error) {
	s, err := pb.NewMaintenanceClient(r.Conn).Snapshot(ctx, &pb.SnapshotRequest{})
	if err != nil {
		return 0, err
	}
	for ; ; n++ {
		if _, err := s.Recv(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}

// A stream of answers to one request is repeated as a read is, but only before its first
// message.
func TestAnswersBeginAgainBeforeTheirFirstMessage(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error
		repeat bool
	}{
		{"unavailable", status.Error(codes.Unavailable, "going away"), true},
		{"no leader", rpctypes.ErrGRPCNoLeader, true},
		{"stopped", rpctypes.ErrGRPCStopped, true},
		{"permission denied", rpctypes.ErrGRPCPermissionDenied, false},
		{"unimplemented", status.Error(codes.Unimplemented, "x"), false},
	} {
		for _, at := range []int32{1, 2} { // the message instead of which the error comes
			r := newRig(t, 2, nil)
			var asked atomic.Int32
			r.script(func(context.Context, int) error {
				switch n := asked.Add(1); {
				case n == at:
					return tc.err
				case n > at+2:
					return errEnough
				}
				return nil
			})
			n, err := r.chunks(within(t, long))
			again := tc.repeat && at == 1
			if again && (err != nil || n != 2) ||
				!again && (etcderr.Code(err) != etcderr.Code(tc.err) || n != int(at)-1) {
				t.Errorf("%s instead of message %d: %d messages, %v", tc.name, at, n, err)
			}
			if a, b := r.servers[0].calls.Load(), r.servers[1].calls.Load(); again && (a == 0 || b == 0) {
				t.Errorf("%s: begun again on the same member: %d and %d requests", tc.name, a, b)
			}
		}
	}
	// One that ends without any message has ended well.
	r := newRig(t, 1, nil)
	r.script(func(context.Context, int) error { return errEnough })
	if n, err := r.chunks(within(t, long)); n != 0 || err != nil || r.total() != 1 {
		t.Errorf("an empty one: %d messages, %v, %d requests", n, err, r.total())
	}
}

// It ends with its context, and when it was repeated often enough.
func TestAnswersAreRepeatedWithinLimits(t *testing.T) {
	r := newRig(t, 2, func(c *retry.Config) {
		c.Limits = retry.Limits{MaxRetries: 5, Wait: func(int) time.Duration { return time.Millisecond }}
	})
	r.script(func(context.Context, int) error { return rpctypes.ErrGRPCNoLeader })
	if _, err := r.chunks(within(t, long)); err != rpctypes.ErrNoLeader || r.total() != 6 {
		t.Errorf("%v after %d requests", err, r.total())
	}
	r = newRig(t, 2, nil)
	r.script(func(context.Context, int) error { return rpctypes.ErrGRPCNoLeader })
	if _, err := r.chunks(within(t, 300*time.Millisecond)); err != context.DeadlineExceeded {
		t.Errorf("%v", err)
	}
}

// Its error names the call once, and each member that was tried.
func TestAnswersSayWhatWasTried(t *testing.T) {
	r := newRig(t, 2, func(c *retry.Config) {
		c.Limits = retry.Limits{MaxRetries: 1, Wait: func(int) time.Duration { return time.Millisecond }}
	})
	r.script(func(context.Context, int) error { return status.Error(codes.Unavailable, "going away") })
	_, err := r.chunks(within(t, long))
	text := fmt.Sprint(err)
	for _, m := range r.set.Members() {
		if strings.Count(text, m.Name()) != 1 {
			t.Errorf("%s is not named once in %s", m.Name(), text)
		}
	}
	if strings.Count(text, "Maintenance.Snapshot") != 1 || strings.Count(text, "tried") != 1 {
		t.Errorf("said more than once: %s", text)
	}
}

// A stream that meets an expired token has one login, and carries the fresh one.
func TestAnswersWithAnExpiredToken(t *testing.T) {
	for _, static := range []bool{false, true} {
		var logins atomic.Int32
		g := worker.New(context.Background())
		defer g.Stop()
		k := auth.New(g, func(context.Context) (string, error) { return fmt.Sprint("token-", logins.Add(1)), nil })
		if static {
			k = auth.Static("token-1")
		}
		r := newRig(t, 2, func(c *retry.Config) { c.Auth = k })
		r.script(func(ctx context.Context, n int) error {
			md, _ := metadata.FromIncomingContext(ctx)
			if v := md.Get(rpctypes.TokenFieldNameGRPC); len(v) != 1 || v[0] != "token-2" {
				return rpctypes.ErrGRPCInvalidAuthToken
			}
			if n > 3 {
				return errEnough
			}
			return nil
		})
		n, err := r.chunks(within(t, long))
		if !static && (err != nil || n == 0 || logins.Load() != 2) {
			t.Errorf("%d messages, %v, %d logins", n, err, logins.Load())
		}
		if static && err != rpctypes.ErrInvalidAuthToken {
			t.Errorf("a token that cannot be renewed: %v", err)
		}
	}
}
