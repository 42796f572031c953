package clientv3_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// progressSeen is the highest revision of an answer to a progress request on any stream.
type progressSeen struct{ atomic.Int64 }

func (p *progressSeen) option() grpc.DialOption {
	return grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn,
		method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		s, err := streamer(ctx, desc, cc, method, opts...)
		return &progressStream{s, p}, err
	})
}

type progressStream struct {
	grpc.ClientStream
	seen *progressSeen
}

func (s *progressStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if r, ok := m.(*pb.WatchResponse); ok && err == nil && r.WatchId == -1 {
		s.seen.Store(max(s.seen.Load(), r.Header.GetRevision()))
	}
	return err
}

// TestManyQuietWatches: etcd notifies only 128 watches of a stream at a time, so the others were
// compacted when their stream broke. The watches get no answer that they did not ask for.
func TestManyQuietWatches(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.5", "3.7"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			cl := etcdtest.Start(t, etcdtest.Options{Version: version, Proxied: true})
			m := cl.Members()[0]
			direct := dial(t, clientv3.Config{Endpoints: []string{m.Direct}})
			var seen progressSeen
			c := dial(t, clientv3.Config{
				Endpoints: cl.Endpoints(), DialOptions: []grpc.DialOption{seen.option()},
			})
			ctx := ctxFor(t, 3*long)
			watches := make([]clientv3.WatchChan, 200)
			for i := range watches {
				watches[i] = c.Watch(ctx, fmt.Sprint("quiet/", i))
			}
			var rev int64
			for range 3 {
				rev = putSoon(t, direct, "elsewhere")
			}
			await(t, "etcd says how far the watches are", func() bool { return seen.Load() >= rev })
			if _, err := direct.Compact(ctx, rev); err != nil {
				t.Fatal(err)
			}
			m.Proxy().Cut()
			if err := m.Proxy().Heal(); err != nil {
				t.Fatal(err)
			}
			for i, ch := range watches {
				put(t, direct, fmt.Sprint("quiet/", i), "v")
				r := next(t, ch)
				if r.Err() == rpctypes.ErrCompacted {
					t.Fatalf("watch %d is compacted", i)
				}
				if r.Err() != nil || len(r.Events) != 1 {
					t.Fatalf("watch %d: %+v, %v", i, r, r.Err())
				}
			}
		})
	}
}
