package retry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/internal/auth"
	"github.com/fairlead-go/fairlead/internal/balancer"
	"github.com/fairlead-go/fairlead/internal/endpoint"
	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/retry"
	"github.com/fairlead-go/fairlead/internal/transport"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// Which calls are repeated, by kind of call and kind of failure.
func TestRepetition(t *testing.T) {
	for _, tc := range []struct {
		name               string
		err                error
		read, write, grant int // requests that the servers see when the first one fails so
		want               error
	}{
		{"unavailable", status.Error(codes.Unavailable, "going away"), 2, 1, 2, nil},
		{"no leader", rpctypes.ErrGRPCNoLeader, 2, 2, 2, rpctypes.ErrNoLeader},
		{"timeout", rpctypes.ErrGRPCTimeout, 2, 1, 2, rpctypes.ErrTimeout},
		{"leader changed", rpctypes.ErrGRPCLeaderChanged, 2, 1, 2, rpctypes.ErrLeaderChanged},
		{"stopped", rpctypes.ErrGRPCStopped, 2, 1, 2, rpctypes.ErrStopped},
		{"too many requests", rpctypes.ErrGRPCRequestTooManyRequests, 2, 2, 2, rpctypes.ErrTooManyRequests},
		{"proposal dropped", status.Error(codes.Unknown, "raft proposal dropped"), 2, 2, 2, nil},
		{"learner", rpctypes.ErrGRPCNotSupportedForLearner, 2, 2, 2, nil},
		{"compacted", rpctypes.ErrGRPCCompacted, 1, 1, 1, rpctypes.ErrCompacted},
		{"permission denied", rpctypes.ErrGRPCPermissionDenied, 1, 1, 1, rpctypes.ErrPermissionDenied},
		{"internal", status.Error(codes.Internal, "x"), 1, 1, 1, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for kind, want := range map[string]int{"read": tc.read, "write": tc.write, "grant": tc.grant} {
				r := newRig(t, 2, nil)
				var seen atomic.Int32
				r.script(func(context.Context, int) error {
					if seen.Add(1) == 1 {
						return tc.err
					}
					return nil
				})
				var err error
				switch kind {
				case "read":
					_, err = r.kv.Range(within(t, long), whole) // a hedge would be counted too
				case "write":
					_, err = r.kv.Put(within(t, long), put)
				case "grant":
					_, err = pb.NewLeaseClient(r.Conn).LeaseGrant(within(t, long), &pb.LeaseGrantRequest{TTL: 5, ID: 9})
				}
				if n := r.total(); n != want {
					t.Errorf("%s: %d requests, want %d", kind, n, want)
				}
				if (err == nil) != (want > 1) {
					t.Errorf("%s: %v", kind, err)
				}
				if err != nil && tc.want != nil && err != tc.want {
					t.Errorf("%s: %#v is not the bare %v", kind, err, tc.want)
				}
			}
		})
	}
}

func TestWriteOutcome(t *testing.T) {
	r := newRig(t, 2, nil)
	r.script(func(context.Context, int) error { return status.Error(codes.Unavailable, "connection reset") })
	_, err := r.kv.Put(within(t, long), put)
	var e *etcderr.Error
	if !errors.As(err, &e) || e.Unexecuted || !etcderr.OutcomeUnknown(err) {
		t.Errorf("%v counts as certain", err)
	}
	if len(e.Tried) != 1 || e.Tried[0].Member == "" || !strings.Contains(err.Error(), e.Tried[0].Member) ||
		!strings.Contains(err.Error(), "KV.Put") {
		t.Errorf("%v does not say what was tried", err)
	}
	// Refused by all: nothing was executed, however often it was tried.
	r.script(func(context.Context, int) error { return rpctypes.ErrGRPCNoLeader })
	if _, err = r.kv.Put(within(t, 300*time.Millisecond), put); err != context.DeadlineExceeded {
		t.Errorf("%v", err)
	}
	r.Shut()
	if _, err = r.kv.Put(within(t, long), put); !errors.Is(err, etcderr.ErrClosed) || !etcderr.NotExecuted(err) {
		t.Errorf("after the end: %v", err)
	}
}

// A write that may be executed twice is repeated.
func TestWithRepeat(t *testing.T) {
	r := newRig(t, 2, nil)
	var seen atomic.Int32
	r.script(func(context.Context, int) error {
		if seen.Add(1) == 1 {
			return rpctypes.ErrGRPCTimeout
		}
		return nil
	})
	if _, err := r.kv.Put(retry.WithRepeat(within(t, long)), put); err != nil || r.total() != 2 {
		t.Errorf("%v after %d requests", err, r.total())
	}
}

// The time of a grant is when the executed attempt was sent, not when the call began. The server
// knows nothing of the earlier attempts.
func TestWithSent(t *testing.T) {
	r := newRig(t, 2, nil)
	var seen atomic.Int32
	var refused, executed time.Time
	r.script(func(context.Context, int) error {
		if seen.Add(1) == 1 {
			refused = time.Now()
			return rpctypes.ErrGRPCNoLeader
		}
		executed = time.Now()
		return nil
	})
	var sent time.Time
	ctx := retry.WithSent(within(t, long), &sent)
	if _, err := pb.NewLeaseClient(r.Conn).LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: 1, TTL: 1}); err != nil ||
		r.total() != 2 {
		t.Fatalf("%v after %d requests", err, r.total())
	}
	if sent.Before(refused) || sent.After(executed) {
		t.Errorf("sent %v after the refusal and %v before it was executed", sent.Sub(refused), executed.Sub(sent))
	}
}

// A read that meets a cluster without a leader is sent a few times, not a hundred.
func TestNoRetryStorm(t *testing.T) {
	r := newRig(t, 3, nil)
	r.script(func(context.Context, int) error { return rpctypes.ErrGRPCNoLeader })
	_, err := r.kv.Range(within(t, 2*time.Second), get)
	if err == nil {
		t.Fatal("a read without a leader")
	}
	if n := r.total(); n > 10 || n < 3 {
		t.Errorf("%d requests in 2 s", n)
	}
	t.Logf("%d requests in 2 s", r.total())
}

func TestLimitsAreHonoured(t *testing.T) {
	r := newRig(t, 2, func(c *retry.Config) {
		c.Limits = retry.Limits{MaxRetries: 25, Wait: func(int) time.Duration { return time.Millisecond }}
	})
	r.script(func(context.Context, int) error { return rpctypes.ErrGRPCNoLeader })
	if _, err := r.kv.Range(within(t, long), whole); err != rpctypes.ErrNoLeader {
		t.Errorf("%v", err)
	}
	if n := r.total(); n != 26 {
		t.Errorf("%d requests, want 26", n)
	}
}

// A read that one member does not answer is sent to another one, and the first
// answer counts; a write is not.
func TestHedge(t *testing.T) {
	r := newRig(t, 2, nil)
	stuck := make(chan struct{})
	defer close(stuck)
	var first atomic.Bool
	slow := func(ctx context.Context, _ int) error {
		if !first.Swap(true) {
			select {
			case <-stuck:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	r.script(slow)
	began := time.Now()
	resp, err := r.kv.Range(within(t, long), get)
	if err != nil || resp.Count != 7 || r.total() != 2 {
		t.Errorf("%v, %v after %d requests", resp, err, r.total())
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	if a, b := r.servers[0].calls.Load(), r.servers[1].calls.Load(); a != 1 || b != 1 {
		t.Errorf("both requests went to one member: %d and %d", a, b)
	}
	first.Store(false)
	if _, err := r.kv.Put(within(t, time.Second), put); err != context.DeadlineExceeded {
		t.Errorf("a write that is not answered: %v", err)
	}
	if n := r.total(); n != 3 {
		t.Errorf("the write was sent %d times", n-2)
	}
	first.Store(false)
	if _, err := r.kv.Put(retry.WithRepeat(within(t, long)), put); err != nil || r.total() != 5 {
		t.Errorf("%v; a write that may be repeated was sent %d times, want 2", err, r.total()-3)
	}
}

// A refusal is an answer: it waits for no second request, and none of the two waits for a first
// one that is silent.
func TestFinalAnswerDoesNotWaitForHedge(t *testing.T) {
	for _, byFirst := range []bool{true, false} {
		r := newRig(t, 2, nil)
		var seen atomic.Int32
		second := make(chan struct{})
		r.script(func(ctx context.Context, _ int) error {
			first := seen.Add(1) == 1
			if !first {
				close(second)
			}
			if first != byFirst {
				<-ctx.Done()
				return ctx.Err()
			}
			<-second
			return rpctypes.ErrGRPCPermissionDenied
		})
		began := time.Now()
		_, err := r.kv.Range(within(t, long), get)
		if took := time.Since(began); err != rpctypes.ErrPermissionDenied || took > long/2 {
			t.Errorf("refused by the first request %t: %v after %v", byFirst, err, took)
		}
		if r.total() != 2 {
			t.Errorf("%d requests", r.total())
		}
	}
}

// Hedges are few: 5 % of calls after a burst of 100. Calls that have waited for a second are hedged
// out of the budget for repetitions: 20 % of calls after a burst of 100.
func TestHedgeBudget(t *testing.T) {
	r := newRig(t, 2, nil)
	const calls = 400
	release := make(chan struct{})
	r.script(func(ctx context.Context, _ int) error {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	})
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() { r.kv.Range(within(t, long), get) })
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for last, still := 0, 0; still < 50; <-tick.C { // until a second passes without a request
		if n := r.total(); n == last && n >= calls {
			still++
		} else {
			last, still = n, 0
		}
	}
	if n := r.total(); n < calls+190 || n > calls+100+calls/20+100+calls/5 {
		t.Errorf("%d requests for %d slow calls", n, calls)
	}
	close(release)
	wg.Wait()
}

// A hundred calls meet an expired token: one login.
func TestTokenIsRenewedOnce(t *testing.T) {
	var logins atomic.Int32
	g := worker.New(context.Background())
	defer g.Stop()
	k := auth.New(g, func(context.Context) (string, error) { return fmt.Sprint("token-", logins.Add(1)), nil })
	r := newRig(t, 2, func(c *retry.Config) { c.Auth = k })
	good := "token-1"
	var mu sync.Mutex
	r.script(func(ctx context.Context, _ int) error {
		md, _ := metadata.FromIncomingContext(ctx)
		mu.Lock()
		defer mu.Unlock()
		if v := md.Get(rpctypes.TokenFieldNameGRPC); len(v) != 1 || v[0] != good {
			return rpctypes.ErrGRPCInvalidAuthToken
		}
		return nil
	})
	run := func() {
		t.Helper()
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				var err error
				if i%2 == 0 {
					_, err = r.kv.Range(within(t, long), get)
				} else {
					_, err = r.kv.Put(within(t, long), put)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	run()
	mu.Lock()
	good = "token-2"
	mu.Unlock()
	run()
	if n := logins.Load(); n != 2 {
		t.Errorf("%d logins", n)
	}
	mu.Lock()
	good = "nobody has it"
	mu.Unlock()
	if _, err := r.kv.Range(within(t, long), get); err != rpctypes.ErrInvalidAuthToken {
		t.Errorf("a token that is never valid: %v", err)
	}
}

// A token that was valid when it was sent may have expired when a slow cluster looks at it, again
// and again. One that is refused at once is not valid there, and a new one helps no more.
func TestTokenExpiresWhileTheCallWaits(t *testing.T) {
	var logins atomic.Int32
	g := worker.New(context.Background())
	defer g.Stop()
	k := auth.New(g, func(context.Context) (string, error) { return fmt.Sprint("token-", logins.Add(1)), nil })
	r := newRig(t, 2, func(c *retry.Config) { c.Auth = k })
	var slow atomic.Bool
	slow.Store(true)
	r.script(func(ctx context.Context, _ int) error {
		if slow.Load() {
			if logins.Load() > 5 {
				return nil
			}
			select {
			case <-time.After(1100 * time.Millisecond): // the member is slow
			case <-ctx.Done():
			}
		}
		return rpctypes.ErrGRPCInvalidAuthToken
	})
	if _, err := r.kv.Put(within(t, long), put); err != nil {
		t.Errorf("after %d logins: %v", logins.Load(), err)
	}
	slow.Store(false)
	logins.Store(0)
	if _, err := r.kv.Put(within(t, long), put); err != rpctypes.ErrInvalidAuthToken {
		t.Errorf("a token that is never valid: %v", err)
	}
	if n := logins.Load(); n > 4 {
		t.Errorf("%d logins", n)
	}
}

// A stream whose token is refused elsewhere while it waits for a member gets the next one. Without
// any it would be refused, which shows only after the way to and fro.
func TestStreamWaitsForTheNextToken(t *testing.T) {
	var logins atomic.Int32
	var tried sync.Once
	opened := make(chan struct{})
	g := worker.New(context.Background())
	defer g.Stop()
	k := auth.New(g, func(context.Context) (string, error) {
		n := logins.Add(1)
		if n > 1 {
			<-opened
		}
		return fmt.Sprint("token-", n), nil
	})
	r := newRig(t, 1, func(c *retry.Config) {
		c.Auth = k
		c.Raw = &overtaken{
			before: func() { tried.Do(func() { k.Invalidate(k.Token()) }) },
			after:  sync.OnceFunc(func() { close(opened) }),
		}
	})
	r.script(func(ctx context.Context, _ int) error {
		md, _ := metadata.FromIncomingContext(ctx)
		if v := md.Get(rpctypes.TokenFieldNameGRPC); len(v) != 1 || v[0] != "token-2" {
			return status.Errorf(codes.Internal, "the stream came with %q", v)
		}
		return nil
	})
	w, err := pb.NewWatchClient(r.Conn).Watch(within(t, long))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Send(&pb.WatchRequest{}); err != nil {
		t.Fatal(err)
	}
	if resp, err := w.Recv(); err != nil || !resp.Created {
		t.Fatalf("%v, %v", resp, err)
	}
}

// A call that fails fast does not wait for a token that nobody can give.
func TestFailFastNeedsNoTokenToFail(t *testing.T) {
	g := worker.New(context.Background())
	defer g.Stop()
	var logins atomic.Int32
	k := auth.New(g, func(ctx context.Context) (string, error) {
		if logins.Add(1) == 1 {
			return "first", nil
		}
		<-ctx.Done()
		return "", ctx.Err()
	})
	r := newRig(t, 2, func(c *retry.Config) { c.Auth = k })
	for _, s := range r.servers {
		s.grpc.Stop()
	}
	k.Invalidate(k.Token())
	awaitTrue(t, "both refuse connections", func() bool { return strings.Count(r.set.Explain(), "refused") == 2 })
	began := time.Now()
	_, err := r.kv.Range(retry.WithFailFast(within(t, long)), get)
	if etcderr.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "refused") ||
		time.Since(began) > 5*time.Second {
		t.Errorf("a call: %v after %v", err, time.Since(began))
	}
	_, err = pb.NewWatchClient(r.Conn).Watch(retry.WithFailFast(within(t, long)))
	if etcderr.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "refused") ||
		time.Since(began) > 5*time.Second {
		t.Errorf("a stream: %v after %v", err, time.Since(began))
	}
}

// A login that fails fails all calls that wait for it, each with an error of its own
// that can be printed.
func TestFailedLoginIsShared(t *testing.T) {
	g := worker.New(context.Background())
	defer g.Stop()
	failure := &etcderr.Error{
		Method:     "Auth.Authenticate",
		Status:     codes.Unavailable,
		Reason:     "authentication was not answered",
		Unexecuted: true,
	}
	var logins atomic.Int32
	k := auth.New(g, func(context.Context) (string, error) {
		if logins.Add(1) > 1 {
			return "", failure
		}
		return "first", nil
	})
	r := newRig(t, 2, func(c *retry.Config) { c.Auth = k })
	r.script(func(context.Context, int) error { return rpctypes.ErrGRPCInvalidAuthToken })
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, err := r.kv.Range(within(t, long), get)
			if !strings.Contains(err.Error(), "authentication was not answered") ||
				!strings.Contains(err.Error(), "KV.Range") {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	if len(failure.Tried) != 0 || failure.Method != "Auth.Authenticate" {
		t.Errorf("the shared error was changed: %v", failure)
	}
}

// TestVerdictThatComesLate: gRPC picks another connection for a call whose connection broke. Only
// then it gets the balancer's verdict about the first one. The call is made all the same, also if
// it is a write.
func TestVerdictThatComesLate(t *testing.T) {
	o := &overtaken{}
	r := newRig(t, 2, func(c *retry.Config) { c.Raw = o })
	verdict := func(moved bool) *balancer.Ended {
		return &balancer.Ended{
			Member: r.set.Members()[0],
			Moved:  moved,
			Err:    etcderr.Error{Status: codes.Unavailable, Reason: "moved off"},
		}
	}
	for _, moved := range []bool{true, false} {
		o.next = verdict(moved)
		if _, err := r.kv.Range(within(t, long), get); err != nil {
			t.Errorf("a read, moved %t: %v", moved, err)
		}
		o.next = verdict(moved)
		if _, err := r.kv.Put(within(t, long), put); err != nil {
			t.Errorf("a write, moved %t: %v", moved, err)
		}
		o.next = verdict(moved)
		_, err := pb.NewWatchClient(r.Conn).Watch(within(t, long))
		if etcderr.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "moved off") {
			t.Errorf("a stream, moved %t: %v", moved, err)
		}
	}
}

func TestPinnedCallsGoToTheirMember(t *testing.T) {
	r := newRig(t, 3, nil)
	m := r.set.Members()[1]
	for range 20 {
		if _, err := r.kv.Range(retry.Pin(within(t, long), m), get); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.servers[1].calls.Load(); n != 20 || r.total() != 20 {
		t.Errorf("%d of %d requests went to the pinned member", n, r.total())
	}
}

// A member that is removed stops, often before it answers: another is asked to remove it.
func TestRemovedMemberIsNotAsked(t *testing.T) {
	r := newRig(t, 3, nil)
	for i, m := range r.set.Members() {
		m.SetID(uint64(i + 1))
	}
	for i, s := range r.servers {
		req := &pb.MemberRemoveRequest{ID: uint64(i + 1)}
		for range 20 {
			if _, err := pb.NewClusterClient(r.Conn).MemberRemove(within(t, long), req); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.calls.Swap(0); n != 0 {
			t.Errorf("member %d got %d requests to remove it", i, n)
		}
		for _, s := range r.servers {
			s.calls.Store(0)
		}
	}
}

// A stream ends when its member has to be left, with an error that says so, and the
// next one is elsewhere.
func TestStreamMoves(t *testing.T) {
	r := newRig(t, 2, nil)
	wc := pb.NewWatchClient(r.Conn)
	s, err := wc.Watch(within(t, long))
	if err != nil {
		t.Fatal(err)
	}
	on := retry.StreamOf(s).Member()
	var m *balancer.Member
	for _, x := range r.set.Members() {
		if x.Name() == on {
			m = x
		}
	}
	m.Failed(rpctypes.ErrNoLeader, &balancer.Pick{})
	_, err = s.Recv()
	if etcderr.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), on) ||
		etcderr.ClassOf(err) != etcderr.Broken {
		t.Errorf("%v", err)
	}
	s, err = wc.Watch(within(t, long))
	if err != nil {
		t.Fatal(err)
	}
	if next := retry.StreamOf(s).Member(); next == on {
		t.Error("the next stream is on the same member")
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, err = wc.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := s.Recv(); err != context.Canceled {
		t.Errorf("after its context ended: %v", err)
	}
}

// Streams that fail on every member go round: the member that failed longest ago is
// the next.
func TestStreamsGoRound(t *testing.T) {
	r := newRig(t, 3, nil)
	var names []string
	for _, m := range r.set.Members() {
		names = append(names, m.Name())
	}
	wc := pb.NewWatchClient(r.Conn)
	for _, c := range []struct {
		avoid []string
		want  string
	}{
		{[]string{names[0], names[1]}, names[2]},
		{[]string{names[0], names[1], names[2]}, names[0]},
		{[]string{names[1], names[2], names[0]}, names[1]},
		{[]string{names[2], "unknown:1", names[0], names[1], "unknown:2"}, names[2]},
	} {
		ctx, cancel := context.WithCancel(within(t, long))
		s, err := wc.Watch(retry.WithStreamOptions(ctx, retry.StreamOptions{Avoid: c.avoid}))
		if err != nil {
			t.Fatal(err)
		}
		if on := retry.StreamOf(s).Member(); on != c.want {
			t.Errorf("avoiding %v: on %s, want %s", c.avoid, on, c.want)
		}
		cancel()
	}
}

// A login that a member does not answer is made on another one: all calls wait for it.
func TestLoginIsHedged(t *testing.T) {
	r := newRig(t, 2, nil)
	var calls atomic.Int32
	r.script(func(ctx context.Context, _ int) error {
		if calls.Add(1) == 1 {
			<-ctx.Done()
		}
		return ctx.Err()
	})
	a, err := pb.NewAuthClient(r.Conn).Authenticate(within(t, long), &pb.AuthenticateRequest{Name: "u"})
	if err != nil || a.Token == "" {
		t.Fatalf("%v, %v", a, err)
	}
	if r.servers[0].calls.Load() != 1 || r.servers[1].calls.Load() != 1 {
		t.Errorf("%d and %d requests, want one at each member", r.servers[0].calls.Load(), r.servers[1].calls.Load())
	}
}

// An election may swallow a login, whose member then answers only when its own time is over.
// Another request follows each that fails meanwhile, on the same member if there is no other.
func TestLoginIsHedgedAgain(t *testing.T) {
	for _, members := range []int{1, 3} {
		r := newRig(t, members, nil)
		var calls atomic.Int32
		r.script(func(ctx context.Context, _ int) error {
			switch calls.Add(1) {
			case 1:
				<-ctx.Done()
				return ctx.Err()
			case 2:
				return status.Error(codes.Unknown, "raft proposal dropped")
			}
			return nil
		})
		a, err := pb.NewAuthClient(r.Conn).Authenticate(within(t, long), &pb.AuthenticateRequest{Name: "u"})
		if err != nil || a.Token == "" {
			t.Fatalf("%d members: %v, %v", members, a, err)
		}
		if n := calls.Load(); n != 3 {
			t.Errorf("%d members: %d requests, want 3", members, n)
		}
	}
}

// A login does not wait for requests that were swallowed, whether the first one has failed or both
// are silent.
func TestSwallowedLoginBeginsAnew(t *testing.T) {
	for name, test := range map[string]struct {
		members int
		first   error
	}{
		"the second alone": {3, status.Error(codes.Unknown, "raft proposal dropped")},
		"both":             {3, nil},
		"a lone member":    {1, nil},
	} {
		r := newRig(t, test.members, nil)
		var calls atomic.Int32
		second := make(chan struct{})
		r.script(func(ctx context.Context, _ int) error {
			switch calls.Add(1) {
			case 1:
				<-second
				if test.first != nil {
					return test.first
				}
				<-ctx.Done()
				return ctx.Err()
			case 2:
				close(second)
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		a, err := pb.NewAuthClient(r.Conn).Authenticate(within(t, long), &pb.AuthenticateRequest{Name: "u"})
		if err != nil || a.Token == "" || calls.Load() != 3 {
			t.Errorf("%s: %v, %v after %d requests, want 3", name, a, err, calls.Load())
		}
	}
}

// A login that begins anew does so twice, with two requests each time, and then waits.
func TestSlowLoginIsSentSixTimes(t *testing.T) {
	r := newRig(t, 3, nil)
	var calls atomic.Int32
	r.script(func(ctx context.Context, _ int) error {
		if calls.Add(1) < 6 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	a, err := pb.NewAuthClient(r.Conn).Authenticate(ctx, &pb.AuthenticateRequest{Name: "u"})
	if err != nil || a.Token == "" || calls.Load() != 6 {
		t.Errorf("%v, %v after %d requests, want 6", a, err, calls.Load())
	}
}

// A read too is sent again for each request that fails meanwhile, if the budget allows it.
func TestReadIsHedgedAgain(t *testing.T) {
	r := newRig(t, 3, nil)
	var calls atomic.Int32
	r.script(func(ctx context.Context, _ int) error {
		switch calls.Add(1) {
		case 1:
			<-ctx.Done()
			return ctx.Err()
		case 2, 3:
			return rpctypes.ErrGRPCTimeout
		}
		return nil
	})
	resp, err := r.kv.Range(within(t, long), get)
	if err != nil || resp.Count != 7 || calls.Load() != 4 {
		t.Errorf("%v, %v after %d requests, want 4", resp, err, calls.Load())
	}
}

func Example() {
	server, err := etcdtest.SharedMain()
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := endpoint.Parse(server.Endpoints()[0])
	if err != nil {
		fmt.Println(err)
	}
	set := balancer.New(balancer.Config{}, []endpoint.Endpoint{e})
	defer set.Close()
	raw, err := grpc.NewClient(balancer.Scheme+":///etcd", grpc.WithResolvers(set.Resolver()),
		grpc.WithTransportCredentials(transport.Credentials(nil, nil)), grpc.WithContextDialer(transport.Dial))
	if err != nil {
		fmt.Println(err)
	}
	defer raw.Close()
	group := worker.New(context.Background())
	defer group.Stop()

	// Every generated client works on a Conn, with its repetitions.
	kv := pb.NewKVClient(retry.New(retry.Config{Raw: raw, Set: set, Group: group}))
	_, err = kv.Put(context.Background(), &pb.PutRequest{Key: []byte("k"), Value: []byte("v")})
	fmt.Println(err)
	// Output: <nil>
}

// gRPC opens a stream once more if its server refuses it, often elsewhere. The stream of an engine
// ends instead: what the engine has found out since it was opened, such as the history, may not
// hold there.
func TestStreamOfAnEngineStays(t *testing.T) {
	r := newRig(t, 1, nil)
	for _, engine := range []bool{false, true} {
		s := startRefusing(t)
		e, err := endpoint.Parse(s.addr)
		if err != nil {
			t.Fatal(err)
		}
		r.set.SetEndpoints([]endpoint.Endpoint{e})
		o := retry.StreamOptions{Engine: engine}
		w, err := pb.NewWatchClient(r.Conn).Watch(retry.WithStreamOptions(within(t, long), o))
		if err != nil {
			t.Fatal(err)
		}
		next(t, s.streams)
		s.refuse()
		ended := make(chan error, 1)
		go func() {
			_, err := w.Recv()
			ended <- err
		}()
		if !engine {
			next(t, s.streams)
			continue
		}
		err = next(t, ended)
		if etcderr.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "before a server took it") {
			t.Errorf("%v", err)
		}
	}
}

// next waits for what comes from c.
func next[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(long):
		t.Fatal("nothing came")
	}
	return v
}
