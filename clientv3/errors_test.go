package clientv3_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// The text of every error that is neither a context's nor one of etcd's begins as
// gRPC's does, since programs look for these words; what we add follows, and all ways to take
// the error apart work.
func TestErrorTextsBeginWithGRPCsWords(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	p := cl.Members()[0].Proxy()
	cfg := clientv3.Config{Endpoints: cl.Endpoints(), MaxCallSendMsgSize: 2000, MaxCallRecvMsgSize: 3000}
	c := dial(t, cfg)
	ctx := ctxFor(t, 2*long)
	for _, k := range []string{"a", "b", "c", "d"} {
		if _, err := c.Put(ctx, k, strings.Repeat("x", 1000)); err != nil {
			t.Fatal(err)
		}
	}
	closed := dial(t, cfg)
	closed.Close()
	// broken makes a call, and breaks the connection when the request is on its way.
	broken := func(call func() error) error {
		works(t, c)
		p.BlackHole()
		defer p.Heal()
		cut := time.AfterFunc(100*time.Millisecond, p.Reset)
		defer cut.Stop()
		return call()
	}
	for name, tc := range map[string]struct {
		call func() error
		code codes.Code
		text string // after gRPC's frame
		more string // said beside it
	}{
		"request too large": {func() error { return second(c.Put(ctx, "k", strings.Repeat("x", 3000))) },
			codes.ResourceExhausted, "trying to send message larger than max (", "2000"},
		"answer too large": {func() error { return second(c.Get(ctx, "", clientv3.WithPrefix())) },
			codes.ResourceExhausted, "grpc: received message larger than max (", "KV.Range"},
		"connection broken": {func() error { return broken(func() error { return second(c.Put(ctx, "k", "v")) }) },
			codes.Unavailable, "error reading from server: ", cl.Endpoints()[0]},
		"closed client": {func() error {
			return second(closed.Get(ctx, "k"))
		}, codes.Canceled, "grpc: the client connection is closing", "KV.Range"},
		"closed client, lease": {func() error {
			return second(closed.KeepAliveOnce(ctx, 1))
		}, codes.Canceled, "grpc: the client connection is closing", "Lease"},
		"closed client, status": {func() error {
			return second(closed.Status(ctx, cl.Endpoints()[0]))
		}, codes.Canceled, "grpc: the client connection is closing", ""},
		"closed client, stream": {func() error {
			return second(closed.GetStream(ctx, "k"))
		}, codes.Canceled, "grpc: the client connection is closing", ""},
		"cannot stream": {func() error {
			return second(clientv3.NewKVFromKVClient(noStreams{clientv3.RetryKVClient(c)}, c).GetStream(ctx, "k"))
		}, codes.Unimplemented, "unknown method RangeStream", ""},
		"an option": {func() error {
			return second(c.Put(ctx, "k", "v", clientv3.WithLimit(1)))
		}, codes.InvalidArgument, "put does not take", "KV.Put"},
		"no member": {func() error {
			return second(dial(t, clientv3.Config{Endpoints: []string{refusing(t)}, FailFast: true}).Put(ctx, "k", "v"))
		}, codes.Unavailable, "no member is available: ", "connection refused"},
	} {
		err := tc.call()
		var e *clientv3.Error
		if !errors.As(err, &e) || clientv3.Code(err) != tc.code || status.Code(err) != tc.code {
			t.Errorf("%s: %T %v, code %v", name, err, err, clientv3.Code(err))
			continue
		}
		want := "rpc error: code = " + tc.code.String() + " desc = " + tc.text
		if !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), tc.more) {
			t.Errorf("%s:\n%s\ndoes not begin with\n%s\nor does not say %q", name, err, want, tc.more)
		}
		if s, ok := status.FromError(err); !ok || !strings.HasPrefix(s.Message(), tc.text) ||
			s.Err().Error() != err.Error() {
			t.Errorf("%s: the status is %v", name, s)
		}
	}
}

// A stream that breaks says so in gRPC's words too, whoever notices first: gRPC, or the
// client, which takes streams off a lost connection.
func TestBrokenSnapshotSaysItInGRPCsWords(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	p := cl.Members()[0].Proxy()
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	fill(t, c, "k", 40, 200<<10)
	p.Throttle(8 << 20)
	defer p.Heal()
	for range 5 {
		r, err := c.Snapshot(ctxFor(t, long))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r, 1000); err != nil {
			t.Fatal(err)
		}
		p.CloseConns()
		_, err = io.Copy(io.Discard, r)
		const frame = "rpc error: code = Unavailable desc = "
		if clientv3.Code(err) != codes.Unavailable ||
			!(strings.HasPrefix(err.Error(), frame+"error reading from server: ") ||
				strings.HasPrefix(err.Error(), frame+"transport is closing: ")) {
			t.Errorf("the snapshot ended with: %v", err)
		}
	}
}

// hasty is a context that ends some time after its deadline, as in a process that is too busy to
// notice. Servers know the deadline.
type hasty struct {
	context.Context
	by time.Duration
}

func (h hasty) Deadline() (time.Time, bool) {
	d, ok := h.Context.Deadline()
	return d.Add(-h.by), ok
}

// Reading a snapshot or stream after its context has ended gives the context's error, however much
// was received before.
func TestReadingPastTheContextsEnd(t *testing.T) {
	t.Parallel()
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	fill(t, c, "k", 80, 200<<10) // more than is on the way without being read
	read := map[string]func(context.Context) (first, rest func() error){
		"snapshot": func(ctx context.Context) (first, rest func() error) {
			s, err := c.SnapshotWithVersion(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return func() error { return second(io.CopyN(io.Discard, s.Snapshot, 1000)) },
				func() error { return second(io.Copy(io.Discard, s.Snapshot)) }
		},
		"stream": func(ctx context.Context) (first, rest func() error) {
			ch, err := c.GetStream(ctx, "k", clientv3.WithPrefix())
			if err != nil {
				t.Fatal(err)
			}
			return func() error { r := <-ch; return r.Err() },
				func() error { return second(clientv3.GetStreamToGetResponse(ch)) }
		},
	}
	if !serverAtLeast(t, "3.7") {
		delete(read, "stream")
	}
	for name, open := range read {
		for how, begin := range map[string]func() (context.Context, context.CancelFunc, error){
			"cancelled": func() (context.Context, context.CancelFunc, error) {
				ctx, cancel := context.WithCancel(context.Background())
				return ctx, cancel, context.Canceled
			},
			"deadline": func() (context.Context, context.CancelFunc, error) {
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
				return ctx, cancel, context.DeadlineExceeded
			},
			"deadline noticed late": func() (context.Context, context.CancelFunc, error) {
				ctx, cancel := context.WithTimeout(context.Background(), 3500*time.Millisecond)
				return hasty{ctx, 500 * time.Millisecond}, cancel, context.DeadlineExceeded
			},
		} {
			ctx, cancel, want := begin()
			first, rest := open(ctx)
			if err := first(); err != nil {
				t.Fatalf("%s, %s: %v", name, how, err)
			}
			if want == context.Canceled {
				cancel()
			}
			<-ctx.Done()
			if err := rest(); err != want {
				t.Errorf("%s, %s: %v", name, how, err)
			}
			cancel()
		}
	}
	s, err := c.Snapshot(ctxFor(t, long))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, s, 1000); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if n, err := s.Read(make([]byte, 100)); n != 0 || err != io.ErrClosedPipe {
			t.Errorf("reading a closed snapshot: %d bytes, %v", n, err)
		}
	}
}

// Programs may close ActiveConnection, since it is gRPC's type. Then all calls and watches end as
// cancelled, those under way and later ones.
func TestClosedConnectionEndsCallsAndWatchesAsCancelled(t *testing.T) {
	etcdtest.CheckLeaks(t)
	cl := etcdtest.Start(t, etcdtest.Options{})
	c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
	ctx := ctxFor(t, 2*long)
	works(t, c)
	watch := c.Watch(ctx, "k")
	g, err := c.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	if r := <-kept; r == nil {
		t.Fatal("the lease was not renewed")
	}
	if err := cl.Members()[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 2) // for answers that do not come
	go func() { waiting <- second(c.Get(ctx, "k")) }()
	go func() { waiting <- second(c.Put(ctx, "k", "v")) }()
	isCancelled := func(what string, err error) {
		t.Helper()
		const text = "rpc error: code = Canceled desc = grpc: the client connection is closing"
		if clientv3.Code(err) != codes.Canceled || !clientv3.IsConnCanceled(err) ||
			!strings.HasPrefix(err.Error(), text) {
			t.Errorf("%s: %v", what, err)
		}
	}
	early := time.NewTimer(100 * time.Millisecond)
	select {
	case err := <-waiting:
		t.Errorf("a call ended early: %v", err)
	case <-early.C:
	}
	if err := c.ActiveConnection().Close(); err != nil {
		t.Fatal(err)
	}
	isCancelled("a call under way", <-waiting)
	isCancelled("a call under way", <-waiting)
	for what, ch := range map[string]clientv3.WatchChan{"a watch": watch, "a watch begun later": c.Watch(ctx, "k")} {
		r := next(t, ch)
		if !r.Canceled {
			t.Errorf("%s: %+v", what, r)
		}
		isCancelled(what, r.Err())
		if _, more := <-ch; more {
			t.Errorf("%s goes on", what)
		}
	}
	ends(t, kept)
	if again, err := c.KeepAlive(ctx, g.ID); err != nil {
		isCancelled("keeping alive", err)
	} else if n := ends(t, again); n > 0 {
		t.Errorf("%d renewals without a connection", n)
	}
	for what, call := range map[string]func() error{
		"get":      func() error { return second(c.Get(ctx, "k")) },
		"put":      func() error { return second(c.Put(ctx, "k", "v")) },
		"grant":    func() error { return second(c.Grant(ctx, 5)) },
		"once":     func() error { return second(c.KeepAliveOnce(ctx, g.ID)) },
		"members":  func() error { return second(c.MemberList(ctx)) },
		"status":   func() error { return second(c.Status(ctx, cl.Endpoints()[0])) },
		"snapshot": func() error { return second(c.Snapshot(ctx)) },
		"progress": func() error { return c.RequestProgress(ctx) },
		"range": func() error {
			_, err := collect(c.Range(ctx, "k"))
			return err
		},
	} {
		isCancelled(what, call())
	}
}

// A write that was under way when the connection was closed may have been executed.
func TestWriteUnderWayWhenClosedIsUnknown(t *testing.T) {
	cl := etcdtest.Start(t, etcdtest.Options{})
	for name, end := range map[string]func(*clientv3.Client) error{
		"the connection": func(c *clientv3.Client) error { return c.ActiveConnection().Close() },
		"the client":     func(c *clientv3.Client) error { return c.Close() },
	} {
		c := dial(t, clientv3.Config{Endpoints: cl.Endpoints()})
		works(t, c)
		if err := cl.Members()[0].Freeze(); err != nil {
			t.Fatal(err)
		}
		put := make(chan error, 1)
		go func() { put <- second(c.Put(ctxFor(t, long), "k", "v")) }()
		sent := time.NewTimer(100 * time.Millisecond)
		select {
		case err := <-put:
			t.Errorf("the put ended early: %v", err)
		case <-sent.C:
		}
		if err := end(c); err != nil {
			t.Error(err)
		}
		if err := <-put; !clientv3.OutcomeUnknown(err) || clientv3.SafeToRetry(err) || !clientv3.IsConnCanceled(err) {
			t.Errorf("a put under way when %s was closed: %v, unknown %t", name, err, clientv3.OutcomeUnknown(err))
		}
		if err := cl.Members()[0].Thaw(); err != nil {
			t.Fatal(err)
		}
	}
}

// A watch over another protobuf client ends when its own client does, whatever error that protobuf
// client returns.
func TestWatchOverAnotherStubEndsWithItsClient(t *testing.T) {
	etcdtest.CheckLeaks(t)
	c := dial(t, clientv3.Config{Endpoints: etcdtest.Shared(t).Endpoints()})
	w := clientv3.NewWatchFromWatchClient(pb.NewWatchClient(c.ActiveConnection()), c)
	defer w.Close()
	ch := w.Watch(ctxFor(t, long), "k")
	if err := c.ActiveConnection().Close(); err != nil {
		t.Fatal(err)
	}
	for i, ch := range []clientv3.WatchChan{ch, w.Watch(ctxFor(t, long), "k")} {
		if r := next(t, ch); !errors.Is(r.Err(), clientv3.ErrClosed) || !clientv3.IsConnCanceled(r.Err()) {
			t.Errorf("watch %d: %v", i, r.Err())
		}
	}
}

// unstreamed is a server before 3.7.
type unstreamed struct {
	pb.UnimplementedKVServer
}

func (unstreamed) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	return &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 1}}, nil
}

// Some programs page by themselves when GetStream's error says that they have to, for example
// Kubernetes' API server.
func TestGetStreamSaysThatTheServerCannot(t *testing.T) {
	g := grpc.NewServer()
	pb.RegisterKVServer(g, unstreamed{})
	at := listenOn(t, g, "tcp", "127.0.0.1:0")
	real := dial(t, clientv3.Config{Endpoints: []string{at}})
	fake := clientv3.NewKVFromKVClient(noStreams{clientv3.RetryKVClient(real)}, real)
	ch, err := fake.GetStream(ctxFor(t, long), "k", clientv3.WithPrefix())
	if clientv3.Code(err) != codes.Unimplemented || ch != nil {
		t.Errorf("a client that cannot: %v, %v", ch, err)
	}
	ch, err = real.GetStream(ctxFor(t, long), "k", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if r := <-ch; r.RangeResponse != nil || clientv3.Code(r.Err()) != codes.Unimplemented {
		t.Errorf("a server that cannot: %v, %v", r.RangeResponse, r.Err())
	}
	if _, more := <-ch; more {
		t.Error("the stream goes on")
	}
	if got, err := collect(real.Range(ctxFor(t, long), "k")); err != nil || len(got) != 0 {
		t.Errorf("Range: %v, %v", got, err)
	}
}

// TestInterceptorsOwnErrors: an interceptor's own error reaches the caller unchanged. An error of
// gRPC that an interceptor has wrapped is classified all the same.
func TestInterceptorsOwnErrors(t *testing.T) {
	mine := errors.New("no, says the interceptor")
	var refuse atomic.Bool
	deny := func(method string) bool { return refuse.Load() && strings.HasPrefix(method, "/etcdserverpb.") }
	c := dial(t, clientv3.Config{Endpoints: etcdtest.Shared(t).Endpoints(), DialOptions: []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(
			func(
				ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker,
				opts ...grpc.CallOption,
			) error {
				if deny(method) {
					return mine
				}
				return next(ctx, method, req, reply, cc, opts...)
			},
		),
		grpc.WithChainStreamInterceptor(
			func(
				ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer,
				opts ...grpc.CallOption,
			) (grpc.ClientStream, error) {
				if deny(method) {
					return nil, mine
				}
				return next(ctx, d, cc, method, opts...)
			},
		),
	}})
	works(t, c)
	refuse.Store(true)
	ctx := ctxFor(t, long)
	for name, call := range map[string]func() error{
		"Put":           func() error { return second(c.Put(ctx, t.Name(), "v")) },
		"Get":           func() error { return second(c.Get(ctx, t.Name())) },
		"Txn":           func() error { return second(c.Txn(ctx).Then(clientv3.OpPut(t.Name(), "v")).Commit()) },
		"Grant":         func() error { return second(c.Grant(ctx, 60)) },
		"Status":        func() error { return second(c.Status(ctx, c.Endpoints()[0])) },
		"Snapshot":      func() error { return second(c.Snapshot(ctx)) },
		"KeepAliveOnce": func() error { return second(c.KeepAliveOnce(ctx, 4711)) },
		"Watch": func() error {
			r := next(t, c.Watch(ctx, t.Name()))
			return r.Err()
		},
	} {
		if err := call(); err != mine {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := clientv3.ContextError(ctx, mine); err != mine {
		t.Errorf("ContextError: %v", err)
	}
	refuse.Store(false)
	works(t, c)
}
