package interop

//lint:file-ignore SA1019 deprecated calls are compared too

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	theirs "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// nameServer records the :authority of the last call. It does not support streams of ranges.
type nameServer struct {
	pb.UnimplementedKVServer
	mu   sync.Mutex
	name []string
}

func (s *nameServer) Range(ctx context.Context, _ *pb.RangeRequest) (*pb.RangeResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.name = md.Get(":authority")
	return &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 1}}, nil
}

func (s *nameServer) last() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name
}

// fake serves at an address until the test ends.
func fake(t *testing.T, network, addr string) (s *nameServer, at string) {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	s = &nameServer{}
	g := grpc.NewServer()
	pb.RegisterKVServer(g, s)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := g.Serve(l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		g.Stop()
		serving.Wait()
	})
	return s, l.Addr().String()
}

// pair makes a client of each kind.
func pair(t *testing.T, endpoints ...string) (*ours.Client, *theirs.Client) {
	t.Helper()
	o, err := ours.New(
		ours.Config{Endpoints: endpoints, MaxCallSendMsgSize: 2000, MaxCallRecvMsgSize: 3000, Logger: zap.NewNop()},
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	x, err := theirs.New(
		theirs.Config{Endpoints: endpoints, MaxCallSendMsgSize: 2000, MaxCallRecvMsgSize: 3000, Logger: zap.NewNop()},
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return o, x
}

func TestBothSendTheSameAuthority(t *testing.T) {
	t.Chdir(t.TempDir())
	sock := filepath.Join(t.TempDir(), "etcd.sock")
	for _, tc := range []struct {
		network, addr string
		endpoints     func(at string) []string
	}{
		{"tcp4", "127.0.0.1:0", func(at string) []string {
			return []string{at, "http://" + at, strings.Replace(at, "127.0.0.1", "localhost", 1)}
		}},
		{"tcp6", "[::1]:0", func(at string) []string { return []string{at, "http://" + at} }},
		{"unix", "localhost:m0", func(string) []string { return []string{"unix:localhost:m0", "unix://localhost:m0"} }},
		{"unix", sock, func(string) []string { return []string{"unix:" + sock, "unix://" + sock} }},
	} {
		s, at := fake(t, tc.network, tc.addr)
		for _, ep := range tc.endpoints(at) {
			o, x := pair(t, ep)
			if _, err := x.Get(within(t), "k"); err != nil {
				t.Fatal(err)
			}
			want := s.last()
			if _, err := o.Get(within(t), "k"); err != nil {
				t.Fatal(err)
			}
			if got := s.last(); !slices.Equal(got, want) {
				t.Errorf("%s: we send %q, the official client %q", ep, got, want)
			}
		}
	}
}

// alike compares what programs do with errors: they look for words, take the status apart, and
// compare with the contexts' and etcd's values.
func alike(t *testing.T, what string, our, their error) {
	t.Helper()
	if our == nil || their == nil {
		t.Errorf("%s: ours %v, the official client's %v", what, our, their)
		return
	}
	if !strings.HasPrefix(our.Error(), their.Error()) {
		t.Errorf("%s: ours is %q, the official client's %q", what, our, their)
	}
	ourStatus, ok1 := status.FromError(our)
	theirStatus, ok2 := status.FromError(their)
	if ok1 != ok2 || ourStatus.Code() != theirStatus.Code() ||
		!strings.HasPrefix(ourStatus.Message(), theirStatus.Message()) {
		t.Errorf("%s: our status is %v, the official client's %v", what, ourStatus, theirStatus)
	}
	for _, v := range []error{context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrClosedPipe} {
		if errors.Is(our, v) != errors.Is(their, v) || (our == v) != (their == v) {
			t.Errorf("%s: ours is %#v, the official client's %#v", what, our, their)
		}
	}
}

// second returns the error of a call.
func second[T any](_ T, err error) error { return err }

func TestBothGiveTheSameErrors(t *testing.T) {
	ep := etcdtest.Shared(t).Endpoints()[0]
	p, err := faultnet.New(ep)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	o, x := pair(t, p.Addr())
	closedO, closedX := pair(t, ep)
	closedO.Close()
	closedX.Close()
	cutO, cutX := pair(t, ep)
	cutO.ActiveConnection().Close()
	cutX.ActiveConnection().Close()
	wideO, wideX := dial(t) // without limits
	server, at := fake(t, "tcp", "127.0.0.1:0")
	oldO, oldX := pair(t, at)
	ctx := within(t)
	for i := range 4 {
		if _, err := o.Put(ctx, fmt.Sprint("errors/", i), strings.Repeat("x", 1000)); err != nil {
			t.Fatal(err)
		}
	}
	defer o.Delete(ctx, "errors/", ours.WithPrefix())
	// The snapshot must still be under way when it is ended.
	for i := range 12 {
		if _, err := wideO.Put(ctx, fmt.Sprint("large/", i), strings.Repeat("x", 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	defer wideO.Delete(ctx, "large/", ours.WithPrefix())
	large := strings.Repeat("x", 3000)
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	// broken breaks the connection during a call.
	broken := func(works func() error, call func() error) error {
		if err := works(); err != nil {
			t.Fatal(err)
		}
		p.BlackHole()
		defer p.Heal()
		cut := time.AfterFunc(100*time.Millisecond, p.Cut)
		defer cut.Stop()
		return call()
	}
	dead, err := faultnet.New("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	dead.Refuse()
	// past reads snapshots beyond an end.
	past := func(open func(context.Context) (io.ReadCloser, error), end func(io.ReadCloser, context.CancelFunc)) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		r, err := open(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r, 100); err != nil {
			t.Fatal(err)
		}
		end(r, cancel)
		_, err = io.Copy(io.Discard, r)
		return err
	}
	last := func(err error, recv func() error) error {
		if err != nil {
			return err
		}
		return recv()
	}
	for _, tc := range []struct {
		what        string
		our, theirs func() error
	}{
		{"a request too large", func() error { return second(o.Put(ctx, "k", large)) }, func() error {
			return second(x.Put(ctx, "k", large))
		}},
		{"an answer too large", func() error { return second(o.Get(ctx, "errors/", ours.WithPrefix())) },
			func() error { return second(x.Get(ctx, "errors/", theirs.WithPrefix())) }},
		{"a broken connection",
			func() error {
				return broken(func() error { return second(o.Get(ctx, "k")) },
					func() error { return second(o.Put(ctx, "k", "v")) })
			},
			func() error {
				return broken(func() error { return second(x.Get(ctx, "k")) },
					func() error { return second(x.Put(ctx, "k", "v")) })
			}},
		{"a closed client, get", func() error { return second(closedO.Get(ctx, "k")) }, func() error {
			return second(closedX.Get(ctx, "k"))
		}},
		{"a closed client, put", func() error { return second(closedO.Put(ctx, "k", "v")) }, func() error {
			return second(closedX.Put(ctx, "k", "v"))
		}},
		{"a closed client, once", func() error { return second(closedO.KeepAliveOnce(ctx, 1)) }, func() error {
			return second(closedX.KeepAliveOnce(ctx, 1))
		}},
		{"a closed connection, get", func() error { return second(cutO.Get(ctx, "k")) }, func() error {
			return second(cutX.Get(ctx, "k"))
		}},
		{"a closed connection, put", func() error { return second(cutO.Put(ctx, "k", "v")) }, func() error {
			return second(cutX.Put(ctx, "k", "v"))
		}},
		{"a closed connection, progress", func() error { return cutO.RequestProgress(ctx) }, func() error {
			return cutX.RequestProgress(ctx)
		}},
		{"a closed connection, watch",
			func() error { r := <-cutO.Watch(ctx, "k"); return r.Err() },
			func() error { r := <-cutX.Watch(ctx, "k"); return r.Err() }},
		{"a server that cannot stream",
			func() error {
				ch, err := oldO.GetStream(ctx, "k", ours.WithPrefix())
				return last(err, func() error { r := <-ch; return r.Err() })
			},
			func() error {
				ch, err := oldX.GetStream(ctx, "k", theirs.WithPrefix())
				return last(err, func() error { r := <-ch; return r.Err() })
			}},
		{"a service that the server has not", func() error { return second(oldO.MemberList(ctx)) }, func() error {
			return second(oldX.MemberList(ctx))
		}},
		{"a refused endpoint, status", func() error { return second(o.Status(short(), dead.Addr())) }, func() error {
			return second(x.Status(short(), dead.Addr()))
		}},
		{"a snapshot past its context's end",
			func() error {
				return past(wideO.Snapshot, func(_ io.ReadCloser, cancel context.CancelFunc) { cancel() })
			},
			func() error {
				return past(wideX.Snapshot, func(_ io.ReadCloser, cancel context.CancelFunc) { cancel() })
			}},
		{"a closed snapshot",
			func() error { return past(wideO.Snapshot, func(r io.ReadCloser, _ context.CancelFunc) { r.Close() }) },
			func() error { return past(wideX.Snapshot, func(r io.ReadCloser, _ context.CancelFunc) { r.Close() }) }},
		{"a login at a refused endpoint",
			func() error {
				return second(ours.New(ours.Config{Endpoints: []string{
					dead.Addr(),
				}, Username: "u", Password: "p", DialTimeout: 300 * time.Millisecond, Logger: zap.NewNop()}))
			},
			func() error {
				return second(theirs.New(theirs.Config{Endpoints: []string{
					dead.Addr(),
				}, Username: "u", Password: "p", DialTimeout: 300 * time.Millisecond, Logger: zap.NewNop()}))
			}},
		{"the versions of a server with TLS",
			func() error {
				return second(ours.New(ours.Config{Endpoints: []string{
					"https://" + ep,
				}, RejectOldCluster: true, DialTimeout: 300 * time.Millisecond, Logger: zap.NewNop()}))
			},
			func() error {
				return second(theirs.New(theirs.Config{Endpoints: []string{
					"https://" + ep,
				}, RejectOldCluster: true, DialTimeout: 300 * time.Millisecond, Logger: zap.NewNop()}))
			}},
		{"a client without a connection, closed",
			func() error { return ours.NewCtxClient(ctx).Close() },
			func() error { return theirs.NewCtxClient(ctx).Close() }},
	} {
		alike(t, tc.what, tc.our(), tc.theirs())
	}
	if server.last() != nil {
		t.Error("a stream of a range was asked for, and a range was read")
	}
	if c := ours.Code(cutO.RequestProgress(ctx)); c != codes.Canceled {
		t.Errorf("progress over a closed connection: %v", c)
	}
}
