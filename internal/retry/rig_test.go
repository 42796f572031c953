package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/internal/balancer"
	"github.com/fairlead-go/fairlead/internal/endpoint"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/retry"
	"github.com/fairlead-go/fairlead/internal/transport"
	"github.com/fairlead-go/fairlead/internal/worker"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// server is a gRPC server on a real socket whose answers the test scripts.
type server struct {
	pb.UnimplementedKVServer
	pb.UnimplementedLeaseServer
	pb.UnimplementedWatchServer
	pb.UnimplementedAuthServer
	pb.UnimplementedMaintenanceServer
	pb.UnimplementedClusterServer
	name   string
	calls  atomic.Int32
	mu     sync.Mutex
	answer func(ctx context.Context, n int) error // n counts the calls of this server from 1
	addr   string
	grpc   *grpc.Server
}

func (s *server) script(f func(ctx context.Context, n int) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func (s *server) serve(ctx context.Context) error {
	n := int(s.calls.Add(1))
	s.mu.Lock()
	f := s.answer
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(ctx, n)
}

func (s *server) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	if string(r.Key) == "\x00" {
		return &pb.RangeResponse{}, nil // a probe
	}
	return &pb.RangeResponse{Count: 7}, s.serve(ctx)
}

func (s *server) Put(ctx context.Context, _ *pb.PutRequest) (*pb.PutResponse, error) {
	return &pb.PutResponse{}, s.serve(ctx)
}

func (s *server) LeaseGrant(ctx context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	return &pb.LeaseGrantResponse{ID: r.ID}, s.serve(ctx)
}

func (s *server) Authenticate(ctx context.Context, _ *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	return &pb.AuthenticateResponse{Token: s.name}, s.serve(ctx)
}

func (s *server) MemberRemove(ctx context.Context, _ *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	return &pb.MemberRemoveResponse{}, s.serve(ctx)
}

func (s *server) Watch(w grpc.BidiStreamingServer[pb.WatchRequest, pb.WatchResponse]) error {
	if err := s.serve(w.Context()); err != nil {
		return err
	}
	for {
		if _, err := w.Recv(); err != nil {
			return nil
		}
		if err := w.Send(&pb.WatchResponse{Created: true}); err != nil {
			return err
		}
	}
}

func (s *server) Snapshot(_ *pb.SnapshotRequest, w grpc.ServerStreamingServer[pb.SnapshotResponse]) error {
	for {
		if err := s.serve(w.Context()); err != nil {
			if err == errEnough {
				return nil
			}
			return err
		}
		if err := w.Send(&pb.SnapshotResponse{Blob: []byte("chunk")}); err != nil {
			return err
		}
	}
}

// errEnough ends a server's stream as it ends well.
var errEnough = errors.New("enough")

func start(t *testing.T, name string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{name: name, addr: l.Addr().String(), grpc: grpc.NewServer()}
	pb.RegisterKVServer(s.grpc, s)
	pb.RegisterLeaseServer(s.grpc, s)
	pb.RegisterWatchServer(s.grpc, s)
	pb.RegisterAuthServer(s.grpc, s)
	pb.RegisterMaintenanceServer(s.grpc, s)
	pb.RegisterClusterServer(s.grpc, s)
	go s.grpc.Serve(l)
	t.Cleanup(s.grpc.Stop)
	return s
}

type rig struct {
	*retry.Conn
	set     *balancer.Set
	servers []*server
	kv      pb.KVClient
}

func newRig(t *testing.T, n int, change func(*retry.Config)) *rig {
	t.Helper()
	r := &rig{}
	var eps []endpoint.Endpoint
	for i := range n {
		s := start(t, fmt.Sprint("s", i))
		r.servers = append(r.servers, s)
		e, err := endpoint.Parse(s.addr)
		if err != nil {
			t.Fatal(err)
		}
		eps = append(eps, e)
	}
	r.set = balancer.New(balancer.Config{}, eps)
	g := worker.New(context.Background())
	cfg := retry.Config{Set: r.set, Group: g}
	if change != nil {
		change(&cfg)
	}
	opts := []grpc.DialOption{
		grpc.WithResolvers(r.set.Resolver()), grpc.WithTransportCredentials(transport.Credentials(nil, nil)),
		grpc.WithContextDialer(transport.Dial), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
	}
	if cfg.Auth != nil {
		opts = append(opts, grpc.WithPerRPCCredentials(retry.Credentials(cfg.Auth)))
	}
	raw, err := grpc.NewClient(balancer.Scheme+":///etcd", opts...)
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := cfg.Raw.(*overtaken); ok {
		o.ClientConnInterface = raw
	} else {
		cfg.Raw = raw
	}
	r.Conn = retry.New(cfg)
	r.kv = pb.NewKVClient(r.Conn)
	t.Cleanup(func() { r.Shut(); raw.Close(); r.set.Close(); g.Stop() })
	r.awaitUsable(t, n)
	return r
}

// overtaken ends the next call or stream as a late verdict does: one about a connection that gRPC
// has already left for another.
type overtaken struct {
	grpc.ClientConnInterface
	next          *balancer.Ended
	before, after func() // called around the opening of each stream, unless nil
}

func (o *overtaken) end(ctx context.Context) error {
	if o.next == nil {
		return nil
	}
	balancer.PickOf(ctx).Cancel(o.next)
	o.next = nil
	return status.FromContextError(ctx.Err()).Err()
}

func (o *overtaken) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if err := o.end(ctx); err != nil {
		return err
	}
	return o.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}

func (o *overtaken) NewStream(
	ctx context.Context,
	d *grpc.StreamDesc,
	method string,
	opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if o.before != nil {
		o.before()
		defer o.after()
	}
	if err := o.end(ctx); err != nil {
		return nil, err
	}
	return o.ClientConnInterface.NewStream(ctx, d, method, opts...)
}

// awaitTrue polls for a condition that has no channel to wait on.
func awaitTrue(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(long); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not reached: %s", what)
		}
	}
}

func (r *rig) awaitUsable(t *testing.T, n int) {
	t.Helper()
	if _, err := r.kv.Range(context.Background(), &pb.RangeRequest{Key: []byte{0}}); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); r.set.Usable() < n; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%d of %d members are usable: %s", r.set.Usable(), n, r.set.Explain())
		}
	}
}

func (r *rig) script(f func(ctx context.Context, n int) error) {
	for _, s := range r.servers {
		s.script(f)
	}
}

func (r *rig) total() (n int) {
	for _, s := range r.servers {
		n += int(s.calls.Load())
	}
	return n
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

const long = 30 * time.Second

var (
	key = []byte("k")
	get = &pb.RangeRequest{Key: key}
	put = &pb.PutRequest{Key: key}
)

// refusing is a server that answers nothing, but can refuse the streams that it has.
type refusing struct {
	addr    string
	streams chan struct{} // one has come
	refuse  func()
}

// The frames of HTTP/2 (RFC 9113, 6) that a refusing server knows.
const (
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	preface       = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

func startRefusing(t *testing.T) *refusing {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &refusing{addr: l.Addr().String(), streams: make(chan struct{}, 100)}
	var mu sync.Mutex
	var conn net.Conn
	var open [][4]byte // the ids of streams
	s.refuse = func() {
		mu.Lock()
		defer mu.Unlock()
		for _, id := range open {
			conn.Write([]byte{0, 0, 4, frameReset, 0, id[0], id[1], id[2], id[3], 0, 0, 0, 7})
		}
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		mu.Lock()
		conn = c
		conn.Write([]byte{0, 0, 0, frameSettings, 0, 0, 0, 0, 0})
		mu.Unlock()
		_, err = io.CopyN(io.Discard, c, int64(len(preface)))
		for err == nil {
			var h [9]byte // length, kind, flags, id
			if _, err = io.ReadFull(c, h[:]); err != nil {
				break
			}
			if h[3] == frameHeaders {
				mu.Lock()
				open = append(open, [4]byte(h[5:]))
				mu.Unlock()
				s.streams <- struct{}{}
			}
			_, err = io.CopyN(io.Discard, c, int64(h[0])<<16|int64(h[1])<<8|int64(h[2]))
		}
	}()
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		if conn != nil {
			conn.Close()
		}
		mu.Unlock()
		<-served
	})
	return s
}
