package clientv3_test

import (
	"context"
	"net"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// noStreams is a KV client of a server that does not know RangeStream.
type noStreams struct{ pb.KVClient }

func (noStreams) RangeStream(
	context.Context,
	*pb.RangeRequest,
	...grpc.CallOption,
) (grpc.ServerStreamingClient[pb.RangeStreamResponse], error) {
	return nil, status.Error(codes.Unimplemented, "unknown method RangeStream")
}

// plainCredentials are what users without TLS pass.
func plainCredentials() credentials.TransportCredentials { return insecure.NewCredentials() }

// listenOn serves at an address until the test ends, and returns the listener's own address.
func listenOn(t testing.TB, g *grpc.Server, network, addr string) string {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
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
	return l.Addr().String()
}
