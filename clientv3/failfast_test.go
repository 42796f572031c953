package clientv3_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// refusing returns an address that refuses connections for the whole test.
func refusing(t testing.TB) string {
	t.Helper()
	p, err := faultnet.New("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	addr := p.Addr()
	t.Cleanup(func() { p.Close() })
	p.Refuse()
	return addr
}

// silent returns the address of a server that accepts connections and never says
// anything.
func silent(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String() // the kernel accepts, nobody answers
}

const (
	// failFastBar is the time in which a call that fails fast returns on an idle machine. Only the
	// fastest of several calls has to meet it.
	failFastBar = 50 * time.Millisecond
	// soon is the time in which any other call returns, unless it waits until its deadline (long).
	soon = 5 * time.Second
)

func settled(t *testing.T, c *clientv3.Client) {
	await(t, "every first connection attempt has ended", func() bool {
		for _, s := range c.MemberStates() {
			if s.LastErr == nil && s.State != "healthy" {
				return false
			}
		}
		return true
	})
}

func TestFailFastNamesEachEndpoint(t *testing.T) {
	etcdtest.CheckLeaks(t)
	a, b := refusing(t), refusing(t)
	c := dial(t, clientv3.Config{Endpoints: []string{a, b}, FailFast: true})
	settled(t, c)
	for name, call := range map[string]func(context.Context) error{
		"get":   func(ctx context.Context) error { _, err := c.Get(ctx, "k"); return err },
		"put":   func(ctx context.Context) error { _, err := c.Put(ctx, "k", "v"); return err },
		"txn":   func(ctx context.Context) error { _, err := c.Txn(ctx).Commit(); return err },
		"grant": func(ctx context.Context) error { _, err := c.Grant(ctx, 5); return err },
		"once":  func(ctx context.Context) error { _, err := c.KeepAliveOnce(ctx, 5); return err },
		"snapshot": func(ctx context.Context) error {
			_, err := c.Snapshot(ctx)
			return err
		},
		"members": func(ctx context.Context) error { _, err := c.MemberList(ctx); return err },
		"users":   func(ctx context.Context) error { _, err := c.UserList(ctx); return err },
	} {
		var err error
		fastest := long
		for range 10 {
			began := time.Now()
			err = call(ctxFor(t, long))
			fastest = min(fastest, time.Since(began))
		}
		if fastest > failFastBar {
			t.Errorf("%s took %v", name, fastest)
		}
		if clientv3.Code(err) != codes.Unavailable || status.Code(err) != codes.Unavailable {
			t.Errorf("%s: code of %v", name, err)
		}
		if !clientv3.SafeToRetry(err) || clientv3.OutcomeUnknown(err) {
			t.Errorf("%s: the call was not sent, but it does not count as safe to repeat: %v", name, err)
		}
		for _, want := range []string{a, b, "refused"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is missing in %q", name, want, err)
			}
		}
	}
}

func TestFailFastPerCall(t *testing.T) {
	a := refusing(t)
	c := dial(t, clientv3.Config{Endpoints: []string{a}})
	settled(t, c)
	if _, err := c.Get(clientv3.WithFailFast(ctxFor(t, long)), "k"); clientv3.Code(err) != codes.Unavailable {
		t.Errorf("with fail-fast: %v", err)
	}
	ctx := ctxFor(t, 300*time.Millisecond)
	began := time.Now()
	_, err := c.Get(ctx, "k")
	if err != context.DeadlineExceeded {
		t.Errorf("without: %v", err)
	}
	if took := time.Since(began); took < 250*time.Millisecond || took > 300*time.Millisecond+soon {
		t.Errorf("a call that waits took %v of its 300 ms", took)
	}
}

func TestWaitForReadyIsHonoured(t *testing.T) {
	a := refusing(t)
	waits := dial(t, clientv3.Config{Endpoints: []string{a}, FailFast: true,
		DialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.WaitForReady(true))}})
	if _, err := waits.Get(ctxFor(t, 200*time.Millisecond), "k"); err != context.DeadlineExceeded {
		t.Errorf("WaitForReady(true): %v", err)
	}
	fails := dial(t, clientv3.Config{Endpoints: []string{a},
		DialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.WaitForReady(false))}})
	if _, err := fails.Get(ctxFor(t, long), "k"); clientv3.Code(err) != codes.Unavailable {
		t.Errorf("WaitForReady(false): %v", err)
	}
}

// A call that fails fast waits for the first attempt to connect, but not longer than DialTimeout.
func TestFailFastFirstConnection(t *testing.T) {
	s := silent(t)
	for _, c := range []struct {
		dial, least, most time.Duration
	}{
		{0, 900 * time.Millisecond, time.Second + soon},
		{300 * time.Millisecond, 250 * time.Millisecond, 300*time.Millisecond + soon},
	} {
		cli := dial(t, clientv3.Config{Endpoints: []string{s}, FailFast: true, DialTimeout: c.dial})
		began := time.Now()
		_, err := cli.Get(ctxFor(t, long), "k")
		took := time.Since(began)
		if clientv3.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), s) {
			t.Errorf("DialTimeout %v: %v", c.dial, err)
		}
		if took < c.least || took > c.most {
			t.Errorf("DialTimeout %v: failed after %v", c.dial, took)
		}
	}
	cl := etcdtest.Start(t, etcdtest.Options{})
	cli := dial(t, clientv3.Config{Endpoints: cl.Endpoints(), FailFast: true})
	if _, err := cli.Get(ctxFor(t, long), "k"); err != nil {
		t.Errorf("the first call of a client must wait for the first connection: %v", err)
	}
}

func TestMemberComesBack(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	if _, err := c.Put(ctxFor(t, long), "k", "v"); err != nil {
		t.Fatal(err)
	}
	cl.Members()[0].Proxy().Refuse()
	cl.Members()[0].Proxy().Cut()
	await(t, "the loss is noticed", func() bool { return c.MemberStates()[0].State == "connecting" })
	if _, err := c.Get(clientv3.WithFailFast(ctxFor(t, long)), "k"); clientv3.Code(err) != codes.Unavailable {
		t.Errorf("while away: %v", err)
	}
	done := make(chan error, 1)
	go func() { _, err := c.Get(ctxFor(t, long), "k"); done <- err }()
	if err := cl.Members()[0].Proxy().Heal(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("a waiting call when the member is back: %v", err)
	}
}

// An endpoint that is no etcd server is named as such. Calls without a deadline say so too,
// although they would wait for a server that is only away.
func TestNotAnEtcdServer(t *testing.T) {
	etcdtest.CheckLeaks(t)
	plain := httptest.NewServer(http.NotFoundHandler())
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	h2 := httptest.NewUnstartedServer(http.NotFoundHandler())
	h2.EnableHTTP2 = true
	h2.StartTLS()
	other := grpc.NewServer() // gRPC without etcd's services
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go other.Serve(l)
	real := etcdtest.Shared(t).Endpoints()[0]
	defer plain.Close()
	defer secure.Close()
	defer h2.Close()
	defer other.Stop()
	anyCert := &tls.Config{InsecureSkipVerify: true}
	for _, tc := range []struct {
		name string
		cfg  clientv3.Config
		code codes.Code
		want string
	}{
		{"plain HTTP", clientv3.Config{Endpoints: []string{
			plain.Listener.Addr().String(),
		}}, codes.Unavailable, "not an etcd server"},
		{"TLS, spoken to in plain text", clientv3.Config{Endpoints: []string{
			secure.Listener.Addr().String(),
		}}, codes.Unavailable, "speaks TLS"},
		{"plain HTTP, spoken to in TLS", clientv3.Config{
			Endpoints: []string{plain.Listener.Addr().String()}, TLS: anyCert,
		}, codes.Unavailable, "does not speak TLS"},
		{"etcd in plain text, spoken to in TLS", clientv3.Config{
			Endpoints: []string{real}, TLS: anyCert,
		}, codes.Unavailable, "does not speak TLS"},
		{"another gRPC server", clientv3.Config{Endpoints: []string{
			l.Addr().String(),
		}}, codes.Unimplemented, "unknown service etcdserverpb.KV"},
		{"HTTP/2 without gRPC", clientv3.Config{
			Endpoints: []string{h2.Listener.Addr().String()}, TLS: anyCert,
		}, codes.Unimplemented, ""},
	} {
		c := dial(t, tc.cfg)
		if tc.code == codes.Unavailable {
			neverWorks(t, tc.name, c, tc.want)
			continue
		}
		for _, ctx := range []context.Context{ctxFor(t, long), clientv3.WithFailFast(ctxFor(t, long))} {
			_, err := c.Put(ctx, "k", "v")
			if clientv3.Code(err) != tc.code || !strings.Contains(err.Error(), tc.want) ||
				!strings.Contains(err.Error(), tc.cfg.Endpoints[0]) {
				t.Errorf("%s: %v", tc.name, err)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: waited for the context", tc.name)
			}
		}
	}
	c := dial(t, clientv3.Config{Endpoints: []string{silent(t)}, FailFast: true})
	if _, err := c.Put(ctxFor(t, long), "k", "v"); clientv3.Code(err) != codes.Unavailable ||
		!strings.Contains(err.Error(), "no answer") {
		t.Errorf("silence: %v", err)
	}
	mixed := dial(t, clientv3.Config{Endpoints: []string{plain.Listener.Addr().String(), real}})
	if _, err := mixed.Put(ctxFor(t, long), t.Name(), "v"); err != nil {
		t.Errorf("one real endpoint is enough: %v", err)
	}
}

// Calls wait for an endpoint that has worked, even if it does not answer as etcd for a while. A
// proxy whose servers are away does that.
func TestEndpointThatIsNoEtcdForAWhile(t *testing.T) {
	t.Parallel()
	real := strings.TrimPrefix(etcdtest.Shared(t).Endpoints()[0], "http://")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var mu sync.Mutex
	var open []net.Conn
	away := false
	turn := func(to bool) {
		mu.Lock()
		defer mu.Unlock()
		away = to
		for _, c := range open {
			c.Close()
		}
		open = nil
	}
	defer turn(false)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			if away {
				_, _ = io.WriteString(in, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
				in.Close()
			} else if out, err := net.Dial("tcp", real); err == nil {
				open = append(open, in, out)
				go func() { _, _ = io.Copy(in, out) }()
				go func() { _, _ = io.Copy(out, in) }()
			}
			mu.Unlock()
		}
	}()
	c := dial(t, clientv3.Config{Endpoints: []string{l.Addr().String()}})
	works(t, c)
	turn(true)
	await(t, "the other answer is noticed", func() bool {
		err := c.MemberStates()[0].LastErr
		return err != nil && strings.Contains(err.Error(), "not an etcd server")
	})
	done := make(chan error, 1)
	go func() {
		_, err := c.Get(context.Background(), "k") // without a deadline
		done <- err
	}()
	early := time.NewTimer(300 * time.Millisecond)
	select {
	case err := <-done:
		t.Errorf("not waited for: %v", err)
	case <-early.C:
	}
	turn(false)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Programs compare a call's error with == or in a switch, without errors.Is.
func TestErrorsCanBeComparedInASwitch(t *testing.T) {
	c := shared(t)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, tc := range []struct {
		ctx  context.Context
		key  string
		want string
	}{
		{cancelled, "k", "cancelled"},
		{ctxFor(t, time.Nanosecond), "k", "deadline"},
		{ctxFor(t, long), "", "empty key"},
	} {
		_, err := c.Put(tc.ctx, tc.key, "v")
		got := ""
		switch err {
		case context.Canceled:
			got = "cancelled"
		case context.DeadlineExceeded:
			got = "deadline"
		case rpctypes.ErrEmptyKey:
			got = "empty key"
		}
		if got != tc.want {
			t.Errorf("%v is taken for %q, want %q", err, got, tc.want)
		}
	}
	if !clientv3.OutcomeUnknown(context.DeadlineExceeded) || clientv3.OutcomeUnknown(rpctypes.ErrEmptyKey) ||
		clientv3.OutcomeUnknown(nil) {
		t.Error("OutcomeUnknown is wrong about a deadline, an empty key or nil")
	}
	if !clientv3.SameError(rpctypes.ErrGRPCNoLeader, rpctypes.ErrNoLeader) {
		t.Error("the two forms of ErrNoLeader are not the same error")
	}
}

// An ended context comes before a closed client, as with the official one.
func TestEndedContextOnClosedClient(t *testing.T) {
	c := dial(t, clientv3.Config{Endpoints: []string{"127.0.0.1:1"}, Logger: zap.NewNop()})
	ctx := c.Ctx()
	c.Close()
	if _, err := c.Grant(ctx, 5); err != context.Canceled {
		t.Errorf("a grant: %v", err)
	}
	if _, err := c.MemberList(ctx); err != context.Canceled {
		t.Errorf("a list of members: %v", err)
	}
	if _, err := c.Get(context.Background(), "k"); err == context.Canceled || !clientv3.IsConnCanceled(err) {
		t.Errorf("a get: %v", err)
	}
}

// The sizes of messages are Config's, whatever DialOptions say.
func TestSizesAreConfigs(t *testing.T) {
	c := dial(t, clientv3.Config{
		Endpoints: etcdtest.Start(t, etcdtest.Options{}).Endpoints(), Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(10), grpc.MaxCallSendMsgSize(10)),
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := c.Put(ctx, "sizes", strings.Repeat("x", 100)); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Get(ctx, "sizes"); err != nil || len(r.Kvs) != 1 {
		t.Errorf("%v, %v", r, err)
	}
}

// The limit for requests is that of the client's own calls: a program's calls on the connection
// have only the server's.
func TestSizesOnActiveConnection(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Args: []string{"--max-request-bytes=8388608"}})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	value := strings.Repeat("x", 4<<20)
	if _, err := c.Put(ctxFor(t, long), "sizes", value); clientv3.Code(err) != codes.ResourceExhausted ||
		!clientv3.SafeToRetry(err) {
		t.Errorf("the client's own put: %v", err)
	}
	put := &pb.PutRequest{Key: []byte("sizes"), Value: []byte(value)}
	if _, err := pb.NewKVClient(c.ActiveConnection()).Put(ctxFor(t, long), put); err != nil {
		t.Errorf("on the active connection: %v", err)
	}
	cc, err := c.Dial(cl.Endpoints()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	if _, err := pb.NewKVClient(cc).Put(ctxFor(t, long), put); err != nil {
		t.Errorf("on a connection of Dial: %v", err)
	}
	if w := next(t, c.Watch(ctxFor(t, long), value)); clientv3.Code(w.Err()) != codes.ResourceExhausted {
		t.Errorf("a watch of a key above the limit: %v", w.Err())
	}
}
