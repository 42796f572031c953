package xds_test

import (
	"errors"
	"strings"
	"testing"

	api "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/xds"
)

// A stream of either kind above the limit is refused until another one has ended.
func TestMaxStreams(t *testing.T) {
	p := serveLimited(t, clienttest.Shared(t), "127.0.0.1:0", []xds.Option{xds.WithMaxStreams(2)})
	conn, err := grpc.NewClient(p.at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	client := api.NewAggregatedDiscoveryServiceClient(conn)
	open := func() (end func(), err error) {
		t.Helper()
		stream, err := client.StreamAggregatedResources(within(t))
		if err != nil {
			t.Fatal(err)
		}
		_ = stream.Send(&api.DiscoveryRequest{TypeUrl: resource.ClusterType}) // if it fails, Recv says why
		_, err = stream.Recv()
		return func() { _ = stream.CloseSend() }, err
	}
	first, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "streams") {
		t.Errorf("a third: %v", err)
	}
	delta, err := client.DeltaAggregatedResources(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := delta.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one of differences: %v", err)
	}
	first()
	clienttest.Await(t, "room for another", func() bool { _, err := open(); return err == nil })
}

func TestMaxStreamsOfNone(t *testing.T) {
	d := discovery.NewDirectory(clienttest.Shared(t))
	defer d.Close()
	if _, err := xds.New(d, xds.WithMaxStreams(0)); !errors.Is(err, discovery.ErrInvalid) {
		t.Errorf("%v", err)
	}
}
