package clientv3_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestNewRefusesBadConfigurations(t *testing.T) {
	etcdtest.CheckLeaks(t)
	ok := []string{"127.0.0.1:1"}
	for name, tc := range map[string]struct {
		cfg  clientv3.Config
		want string
	}{
		"no endpoints":    {clientv3.Config{}, clientv3.ErrNoAvailableEndpoints.Error()},
		"empty endpoint":  {clientv3.Config{Endpoints: []string{""}}, "empty"},
		"does not parse":  {clientv3.Config{Endpoints: []string{"127.0.0.1:1", "a b"}}, `"a b"`},
		"no port":         {clientv3.Config{Endpoints: []string{"localhost"}}, "port"},
		"unknown scheme":  {clientv3.Config{Endpoints: []string{"ftp://a:1"}}, "scheme"},
		"http with https": {clientv3.Config{Endpoints: []string{"http://a:1", "https://b:1"}}, "mix"},
		"token and password": {
			clientv3.Config{Endpoints: ok, Token: "t", Username: "u", Password: "p"}, "mutually exclusive",
		},
		"negative size": {clientv3.Config{Endpoints: ok, MaxCallSendMsgSize: -1}, "negative"},
		"send above receive": {
			clientv3.Config{Endpoints: ok, MaxCallSendMsgSize: 2000, MaxCallRecvMsgSize: 1000}, "MaxCallRecvMsgSize",
		},
		"jitter above one": {clientv3.Config{Endpoints: ok, BackoffJitterFraction: 2}, "BackoffJitterFraction"},
		"bad logger":       {clientv3.Config{Endpoints: ok, LogConfig: &zap.Config{Encoding: "none"}}, "LogConfig"},
	} {
		c, err := clientv3.New(tc.cfg)
		if err == nil || !strings.Contains(err.Error(), tc.want) || c != nil {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	if _, err := clientv3.NewFromURLs(nil); err != clientv3.ErrNoAvailableEndpoints {
		t.Errorf("NewFromURLs: %v", err)
	}
	_, err := clientv3.New(clientv3.Config{Endpoints: ok, Token: "t", Password: "p"})
	if err != clientv3.ErrMutuallyExclusiveCfg {
		t.Errorf("token and password: %v", err)
	}
}

func TestNewFromURL(t *testing.T) {
	ep := "http://" + etcdtest.Shared(t).Endpoints()[0]
	a, err := clientv3.NewFromURL(ep)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := clientv3.NewFromURLs([]string{ep})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	works(t, a)
	works(t, b)
	if a.GetLogger() == nil || a.Endpoints()[0] != ep || a.ActiveConnection() == nil {
		t.Error("logger, endpoints or connection is missing")
	}
	r, err := pb.NewKVClient(a.ActiveConnection()).
		Range(ctxFor(t, long), &pb.RangeRequest{Key: []byte("k")}, grpc.WaitForReady(true))
	if err != nil || r.Header.Revision == 0 {
		t.Errorf("over ActiveConnection: %v, %v", r, err)
	}
}

func TestRejectOldCluster(t *testing.T) {
	cl := etcdtest.Shared(t)
	c, err := clientv3.New(
		clientv3.Config{Endpoints: []string{cl.Endpoints()[0], refusing(t)}, RejectOldCluster: true, DialTimeout: long},
	)
	if err != nil {
		t.Fatalf("one live endpoint is enough: %v", err)
	}
	c.Close()
	if _, err := clientv3.New(clientv3.Config{
		Endpoints: []string{refusing(t)}, RejectOldCluster: true, DialTimeout: 2 * time.Second,
	}); err == nil {
		t.Error("no member answered, but the cluster counts as new enough")
	}
}

func TestConfigSpec(t *testing.T) {
	spec := &clientv3.ConfigSpec{
		Endpoints: []string{
			"a:1",
		}, DialTimeout: time.Second, KeepAliveTime: 2 * time.Second, KeepAliveTimeout: 3 * time.Second,
		MaxCallSendMsgSize: 4, MaxCallRecvMsgSize: 5,
		Secure: &clientv3.SecureConfig{
			InsecureTransport: true,
		}, Auth: &clientv3.AuthConfig{Username: "u", Password: "p"},
	}
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var back clientv3.ConfigSpec
	if err := json.Unmarshal(b, &back); err != nil || back.Auth.Username != "u" || back.KeepAliveTime != 2*time.Second {
		t.Errorf("%+v, %v", back, err)
	}
	clone := spec.Clone()
	clone.Endpoints[0], clone.Secure.Cert, clone.Auth.Username = "x", "x", "x"
	if spec.Endpoints[0] != "a:1" || spec.Secure.Cert != "" || spec.Auth.Username != "u" {
		t.Error("a clone shares with its original")
	}
	cfg, err := clientv3.NewClientConfig(spec, zap.NewNop())
	if err != nil || cfg.TLS != nil || cfg.Username != "u" || cfg.DialTimeout != time.Second ||
		cfg.DialKeepAliveTime != 2*time.Second || cfg.DialKeepAliveTimeout != 3*time.Second ||
		cfg.MaxCallSendMsgSize != 4 || cfg.MaxCallRecvMsgSize != 5 || cfg.Endpoints[0] != "a:1" {
		t.Errorf("%+v, %v", cfg, err)
	}
	if cfg.Logger != nil {
		t.Error("the logger is left to the caller")
	}
	if cfg, err = clientv3.NewClientConfig(&clientv3.ConfigSpec{Secure: &clientv3.SecureConfig{}}, nil); err != nil ||
		cfg.TLS == nil {
		t.Errorf("secure by default: %+v, %v", cfg, err)
	}
	if !(clientv3.AuthConfig{}).Empty() || (clientv3.AuthConfig{Token: "t"}).Empty() {
		t.Error("Empty")
	}
}

// Every call of a closed client says that it is closed. Nothing hangs or panics, even if many
// goroutines close the client while others use it.
func TestUseAfterClose(t *testing.T) {
	etcdtest.CheckLeaks(t)
	ep := etcdtest.Shared(t).Endpoints()
	c, err := clientv3.New(clientv3.Config{Endpoints: ep, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := ctxFor(t, long)
	works(t, c)
	watch := c.Watch(ctx, "k")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				if _, err := c.Get(ctx, "k"); err != nil {
					if !clientv3.IsConnCanceled(err) {
						t.Errorf("a get while the client is closed: %v", err)
					}
					return
				}
			}
		})
		wg.Go(func() {
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	wg.Wait()
	for range watch {
	}
	if c.Ctx().Err() == nil {
		t.Error("the client's context goes on")
	}
	for name, call := range map[string]func() error{
		"get":       func() error { return second(c.Get(ctx, "k")) },
		"put":       func() error { return second(c.Put(ctx, "k", "v")) },
		"txn":       func() error { return second(c.Txn(ctx).Commit()) },
		"stream":    func() error { return second(c.GetStream(ctx, "k")) },
		"grant":     func() error { return second(c.Grant(ctx, 5)) },
		"once":      func() error { return second(c.KeepAliveOnce(ctx, 5)) },
		"keepalive": func() error { return second(c.KeepAlive(ctx, 5)) },
		"members":   func() error { return second(c.MemberList(ctx)) },
		"sync":      func() error { return c.Sync(ctx) },
		"users":     func() error { return second(c.UserList(ctx)) },
		"status":    func() error { return second(c.Status(ctx, ep[0])) },
		"elsewhere": func() error { return second(c.Status(ctx, "127.0.0.1:1")) },
		"snapshot":  func() error { return second(c.Snapshot(ctx)) },
		"endpoints": func() error { return c.UpdateEndpoints(ep...) },
		"progress":  func() error { return c.RequestProgress(ctx) },
	} {
		err := call()
		if !errors.Is(err, clientv3.ErrClosed) || !clientv3.IsConnCanceled(err) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if r := next(t, c.Watch(ctx, "k")); !errors.Is(r.Err(), clientv3.ErrClosed) {
		t.Errorf("watch after Close: %v", r.Err())
	}
	if err := c.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

// Every call returns soon after its context ended, with the context's own error,
// while the cluster accepts connections and does not answer.
func TestContextsAreHonoured(t *testing.T) {
	etcdtest.CheckLeaks(t)
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	works(t, c)
	if err := cl.Members()[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(context.Context) error{
		"get":      func(ctx context.Context) error { return second(c.Get(ctx, "k")) },
		"put":      func(ctx context.Context) error { return second(c.Put(ctx, "k", "v")) },
		"delete":   func(ctx context.Context) error { return second(c.Delete(ctx, "k")) },
		"txn":      func(ctx context.Context) error { return second(c.Txn(ctx).Commit()) },
		"compact":  func(ctx context.Context) error { return second(c.Compact(ctx, 1)) },
		"grant":    func(ctx context.Context) error { return second(c.Grant(ctx, 5)) },
		"revoke":   func(ctx context.Context) error { return second(c.Revoke(ctx, 5)) },
		"ttl":      func(ctx context.Context) error { return second(c.TimeToLive(ctx, 5)) },
		"leases":   func(ctx context.Context) error { return second(c.Leases(ctx)) },
		"once":     func(ctx context.Context) error { return second(c.KeepAliveOnce(ctx, 5)) },
		"members":  func(ctx context.Context) error { return second(c.MemberList(ctx)) },
		"sync":     func(ctx context.Context) error { return c.Sync(ctx) },
		"users":    func(ctx context.Context) error { return second(c.UserList(ctx)) },
		"status":   func(ctx context.Context) error { return second(c.Status(ctx, cl.Endpoints()[0])) },
		"hash":     func(ctx context.Context) error { return second(c.HashKV(ctx, cl.Endpoints()[0], 0)) },
		"snapshot": func(ctx context.Context) error { return second(c.SnapshotWithVersion(ctx)) },
		"stream": func(ctx context.Context) error {
			ch, err := c.GetStream(ctx, "k")
			if err != nil {
				return err
			}
			return second(clientv3.GetStreamToGetResponse(ch))
		},
		"watch": func(ctx context.Context) error {
			for range c.Watch(ctx, "k") {
			}
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			err := call(ctx)
			if late := time.Until(deadline(ctx)) * -1; late > time.Second {
				t.Errorf("returned %v after its context ended", late)
			}
			if err != context.DeadlineExceeded {
				t.Errorf("%v", err)
			}
			done, cancelled := context.WithCancel(context.Background())
			time.AfterFunc(100*time.Millisecond, cancelled)
			if err := call(done); err != context.Canceled {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
}

func deadline(ctx context.Context) time.Time {
	d, _ := ctx.Deadline()
	return d
}

// Clients without a connection serve programs that bring the interfaces.
func TestClientWithoutConnection(t *testing.T) {
	etcdtest.CheckLeaks(t)
	real := shared(t)
	c := clientv3.NewCtxClient(context.Background(), clientv3.WithZapLogger(zap.NewNop()))
	c.KV = clientv3.NewKVFromKVClient(clientv3.RetryKVClient(real), c)
	c.Lease = clientv3.NewLeaseFromLeaseClient(clientv3.RetryLeaseClient(real), c, time.Second)
	c.Watcher = clientv3.NewWatchFromWatchClient(pb.NewWatchClient(real.ActiveConnection()), c)
	c.Cluster = clientv3.NewClusterFromClusterClient(clientv3.RetryClusterClient(real), c)
	c.Auth = clientv3.NewAuthFromAuthClient(clientv3.RetryAuthClient(real), c)
	c.Maintenance = clientv3.NewMaintenanceFromMaintenanceClient(clientv3.RetryMaintenanceClient(real, nil), c)
	ctx := ctxFor(t, long)
	ch := c.Watch(ctx, t.Name())
	g, err := c.Grant(ctx, 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(ctx, t.Name(), "v", clientv3.WithLease(g.ID)); err != nil {
		t.Fatal(err)
	}
	if e := next(t, ch).Events[0]; string(e.Kv.Value) != "v" {
		t.Errorf("%v", e)
	}
	kept, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	if r := <-kept; r == nil || r.ID != g.ID {
		t.Errorf("%v", r)
	}
	if r, err := c.MemberList(ctx); err != nil || len(r.Members) != 1 {
		t.Errorf("%v, %v", r, err)
	}
	if r, err := c.AuthStatus(ctx); err != nil || r.Enabled {
		t.Errorf("%v, %v", r, err)
	}
	if r, err := c.Status(ctx, "anything"); err != nil || r.Version == "" {
		t.Errorf("%v, %v", r, err)
	}
	if c.ActiveConnection() != nil || c.MemberStates() != nil || c.Endpoints() != nil {
		t.Error("a client without a connection has members")
	}
	c.Close()

	empty := clientv3.NewCtxClient(context.Background())
	defer empty.Close()
	if _, err := clientv3.NewKV(empty).Get(ctx, "k"); clientv3.Code(err) != codes.FailedPrecondition {
		t.Errorf("a call without a connection: %v", err)
	}
	w := clientv3.NewWatcher(empty)
	if r := next(t, w.Watch(ctx, "k")); clientv3.Code(r.Err()) != codes.FailedPrecondition {
		t.Errorf("a watch without a connection: %v", r.Err())
	}
	w.Close()
	for _, kv := range []clientv3.KV{clientv3.NewKVFromKVClient(clientv3.RetryKVClient(real), nil)} {
		if _, err := kv.Get(ctx, "k"); err != nil {
			t.Errorf("over a nil client: %v", err)
		}
	}
}

// A client without a connection has nothing to close but its context.
func TestCloseOfCtxClientReturnsTheContextsError(t *testing.T) {
	past, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	for ctx, want := range map[context.Context]error{
		context.Background(): context.Canceled, past: context.DeadlineExceeded,
	} {
		c := clientv3.NewCtxClient(ctx)
		for range 2 {
			if err := c.Close(); err != want {
				t.Errorf("Close: %v, want %v", err, want)
			}
		}
	}
}

// Sizes are compared only with each other, not with our defaults.
func TestReceiveLimitAloneIsValid(t *testing.T) {
	c := dial(t, clientv3.Config{Endpoints: etcdtest.Shared(t).Endpoints(), MaxCallRecvMsgSize: 1000})
	ctx := ctxFor(t, long)
	works(t, c)
	if _, err := c.Put(ctx, t.Name(), strings.Repeat("x", 2000)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(ctx, t.Name()); clientv3.Code(err) != codes.ResourceExhausted {
		t.Errorf("an answer above the limit: %v", err)
	}
	if _, err := c.Delete(ctx, t.Name()); err != nil {
		t.Error(err)
	}
}

// New waits for nothing but a login and versions.
func TestNewDoesNotBlock(t *testing.T) {
	began := time.Now()
	c := dial(t, clientv3.Config{
		Endpoints: []string{refusing(t)}, DialTimeout: long,
		DialOptions: []grpc.DialOption{grpc.WithBlock()}, //lint:ignore SA1019 programs still pass it
	})
	if took := time.Since(began); took > soon {
		t.Errorf("New took %v", took)
	}
	if _, err := c.Get(ctxFor(t, 100*time.Millisecond), "k"); err != context.DeadlineExceeded {
		t.Errorf("nobody can have answered: %v", err)
	}
}

// Programs compare New's error with context.DeadlineExceeded. New waits for all of its time, since
// somebody may correct what is wrong.
func TestNewUsesItsTimeWhateverIsWrong(t *testing.T) {
	t.Parallel()
	plain := etcdtest.Shared(t).Endpoints()[0]
	secured := etcdtest.Start(t, etcdtest.Options{TLS: etcdtest.NewTLS(t)}).Endpoints()[0]
	const patience = 700 * time.Millisecond
	for name, endpoint := range map[string]string{
		"refused": refusing(t), "silent": silent(t), "no TLS there": "https://" + plain, "TLS there": secured,
		"not trusted": "https://" + secured,
	} {
		for what, cfg := range map[string]clientv3.Config{
			"login": {Username: "root", Password: "secret"}, "versions": {RejectOldCluster: true},
		} {
			t.Run(what+", "+name, func(t *testing.T) {
				t.Parallel()
				cfg.Endpoints, cfg.DialTimeout = []string{endpoint}, patience
				core, logged := observer.New(zap.WarnLevel)
				cfg.Logger = zap.New(core)
				began := time.Now()
				c, err := clientv3.New(cfg)
				if err != context.DeadlineExceeded || c != nil {
					t.Errorf("New: %v", err)
				}
				if took := time.Since(began); took < patience {
					t.Errorf("New gave up after %v", took)
				}
				if logged.Len() == 0 {
					t.Error("neither the error nor the log says why")
				}
			})
		}
	}
}

// A server that starts while New waits is found.
func TestNewWaitsForStartingServer(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	p := cl.Members()[0].Proxy()
	p.Refuse()
	began := time.Now()
	heal := time.AfterFunc(300*time.Millisecond, func() {
		if err := p.Heal(); err != nil {
			t.Error(err)
		}
	})
	defer heal.Stop()
	c, err := clientv3.New(
		clientv3.Config{Endpoints: cl.Endpoints(), RejectOldCluster: true, DialTimeout: long, Logger: zap.NewNop()},
	)
	if err != nil {
		t.Fatalf("after %v: %v", time.Since(began), err)
	}
	works(t, c)
	c.Close()
	if _, err := clientv3.New(clientv3.Config{
		Endpoints: []string{refusing(t)}, RejectOldCluster: true, DialTimeout: long, FailFast: true,
		Logger: zap.NewNop(),
	}); clientv3.Code(err) != codes.Unavailable {
		t.Errorf("with fail-fast: %v", err)
	}
}

func TestInterceptorsSeeCalls(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[string]int)
	count := func(m string) {
		mu.Lock()
		defer mu.Unlock()
		seen[m]++
	}
	c := dial(t, clientv3.Config{Endpoints: etcdtest.Shared(t).Endpoints(), DialOptions: []grpc.DialOption{
		grpc.WithUnaryInterceptor(
			func(
				ctx context.Context, m string, req, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker,
				opts ...grpc.CallOption,
			) error {
				count(m)
				return call(ctx, m, req, reply, cc, opts...)
			},
		),
		grpc.WithStreamInterceptor(
			func(
				ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, m string, open grpc.Streamer,
				opts ...grpc.CallOption,
			) (grpc.ClientStream, error) {
				count(m)
				return open(ctx, d, cc, m, opts...)
			},
		),
	}})
	works(t, c)
	c.Watch(ctxFor(t, long), "k")
	mu.Lock()
	defer mu.Unlock()
	if seen[pb.KV_Put_FullMethodName] != 1 || seen[pb.Watch_Watch_FullMethodName] != 1 {
		t.Errorf("interceptors saw %v", seen)
	}
}

func TestIsConnCanceled(t *testing.T) {
	for err, want := range map[error]bool{
		nil: false, context.Canceled: true, context.DeadlineExceeded: false, clientv3.ErrClosed: true,
		errors.New("x"): false,
	} {
		if clientv3.IsConnCanceled(err) != want {
			t.Errorf("IsConnCanceled(%v) = %v", err, !want)
		}
	}
}
