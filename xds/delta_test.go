package xds_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	api "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	gcp "github.com/envoyproxy/go-control-plane/pkg/client/sotw/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

func connect(t testing.TB, at string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// follower is a plain client of differences: what it has, and how much it received.
type follower struct {
	t      testing.TB
	stream api.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	has    map[string]string // versions by type and name
	sent   int               // resources, gone ones included
}

func newFollower(t testing.TB, at string) *follower {
	t.Helper()
	stream, err := api.NewAggregatedDiscoveryServiceClient(connect(t, at)).
		DeltaAggregatedResources(clienttest.Within(t, 4*clienttest.Long))
	if err != nil {
		t.Fatal(err)
	}
	return &follower{t: t, stream: stream, has: map[string]string{}}
}

func (f *follower) ask(q *api.DeltaDiscoveryRequest) {
	f.t.Helper()
	if err := f.stream.Send(q); err != nil {
		f.t.Fatal(err)
	}
}

// next receives an answer and acknowledges it.
func (f *follower) next() *api.DeltaDiscoveryResponse {
	f.t.Helper()
	a, err := f.stream.Recv()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, r := range a.Resources {
		f.has[a.TypeUrl+" "+r.Name] = r.Version
	}
	for _, name := range a.RemovedResources {
		delete(f.has, a.TypeUrl+" "+name)
	}
	f.sent += len(a.Resources) + len(a.RemovedResources)
	f.ask(&api.DeltaDiscoveryRequest{TypeUrl: a.TypeUrl, ResponseNonce: a.Nonce})
	return a
}

func assignment(t testing.TB, r *api.Resource) (addresses []string) {
	t.Helper()
	var cla endpoint.ClusterLoadAssignment
	if err := r.Resource.UnmarshalTo(&cla); err != nil {
		t.Fatal(err)
	}
	for _, l := range cla.Endpoints {
		for _, e := range l.LbEndpoints {
			addresses = append(addresses, e.GetEndpoint().Address.GetSocketAddress().Address)
		}
	}
	return addresses
}

// A client of differences receives only what has changed, also when it comes back and says what it
// has.
func TestDeltaClientsGetOnlyChanges(t *testing.T) {
	client := clienttest.Shared(t)
	p := serve(t, client, "127.0.0.1:0")
	a, b, c := t.Name()+"-a", t.Name()+"-b", t.Name()+"-c"
	register(t, client, discovery.Instance{Service: a, ID: "1", Addresses: []string{"10.0.0.1:80"}})
	register(t, client, discovery.Instance{Service: b, ID: "1", Addresses: []string{"10.0.1.1:80"}})
	register(t, client, discovery.Instance{Service: c, ID: "1", Addresses: []string{"10.0.2.1:80"}})
	f := newFollower(t, p.at)
	f.ask(
		&api.DeltaDiscoveryRequest{
			Node:                   &core.Node{Id: "x"},
			TypeUrl:                resource.EndpointType,
			ResourceNamesSubscribe: []string{a, b},
		},
	)
	for f.sent < 2 {
		f.next()
	}
	two := register(t, client, discovery.Instance{Service: a, ID: "2", Addresses: []string{"10.0.0.2:80"}})
	if got := f.next(); len(got.Resources) != 1 || got.Resources[0].Name != a ||
		!slices.Equal(assignment(t, got.Resources[0]), []string{"10.0.0.1", "10.0.0.2"}) {
		t.Errorf("%v", got)
	}
	f.ask(&api.DeltaDiscoveryRequest{TypeUrl: resource.ListenerType, ResourceNamesSubscribe: []string{b}})
	if got := f.next(); len(got.Resources) != 1 || got.Resources[0].Name != b || got.TypeUrl != resource.ListenerType {
		t.Errorf("%v", got)
	}
	// The server answers nothing that is no longer followed. The answer for c shows that the
	// request has arrived.
	f.ask(&api.DeltaDiscoveryRequest{
		TypeUrl:                  resource.EndpointType,
		ResourceNamesSubscribe:   []string{c},
		ResourceNamesUnsubscribe: []string{a},
	})
	if got := f.next(); len(got.Resources) != 1 || got.Resources[0].Name != c {
		t.Errorf("%v", got)
	}
	if err := two.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	register(t, client, discovery.Instance{Service: b, ID: "2", Addresses: []string{"10.0.1.2:80"}})
	if got := f.next(); len(got.Resources) != 1 || got.Resources[0].Name != b {
		t.Errorf("after it stopped following one: %v", got)
	}

	again := newFollower(t, p.at)
	has := map[string]string{b: f.has[resource.EndpointType+" "+b]}
	again.ask(
		&api.DeltaDiscoveryRequest{
			TypeUrl:                 resource.EndpointType,
			ResourceNamesSubscribe:  []string{a, b},
			InitialResourceVersions: has,
		},
	)
	if got := again.next(); len(got.Resources) != 1 || got.Resources[0].Name != a || len(got.RemovedResources) != 0 {
		t.Errorf("to one that has %v: %v", slices.Collect(maps.Keys(has)), got)
	}
}

// go-control-plane's own client receives the state of the world.
func TestGoControlPlane(t *testing.T) {
	client := clienttest.Shared(t)
	p := serve(t, client, "127.0.0.1:0")
	register(t, client, discovery.Instance{Service: t.Name(), ID: "1", Addresses: []string{"10.0.0.1:80"}})
	// Its requests name nothing, so the answer has all clusters that any client has asked for.
	f := newFollower(t, p.at)
	f.ask(&api.DeltaDiscoveryRequest{TypeUrl: resource.ClusterType, ResourceNamesSubscribe: []string{t.Name()}})
	f.next()
	c := gcp.NewADSClient(within(t), &core.Node{Id: "x"}, resource.ClusterType)
	if err := c.InitConnect(connect(t, p.at)); err != nil {
		t.Fatal(err)
	}
	got, err := c.Fetch()
	if err != nil || len(got.Resources) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	if err := c.Ack(); err != nil {
		t.Error(err)
	}
}

// A senseless request ends its stream with a reason, or gets no answer. Nobody else notices.
func TestSenselessRequestEndsOnlyItsStream(t *testing.T) {
	client := clienttest.Shared(t)
	p := serve(t, client, "127.0.0.1:0")
	many := make([]string, 20_000)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for name, c := range map[string]struct {
		q    *api.DeltaDiscoveryRequest
		want codes.Code
	}{
		"no type":    {&api.DeltaDiscoveryRequest{}, codes.InvalidArgument},
		"other type": {&api.DeltaDiscoveryRequest{TypeUrl: "type.googleapis.com/x"}, codes.InvalidArgument},
		"many names": {&api.DeltaDiscoveryRequest{
			TypeUrl: resource.EndpointType, ResourceNamesSubscribe: many,
		}, codes.ResourceExhausted},
		"large": {&api.DeltaDiscoveryRequest{TypeUrl: strings.Repeat("x", 5<<20)}, codes.ResourceExhausted},
	} {
		f := newFollower(t, p.at)
		f.ask(c.q)
		if _, err := f.stream.Recv(); status.Code(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := newFollower(t, p.at)
	f.ask(
		&api.DeltaDiscoveryRequest{
			TypeUrl:                resource.EndpointType,
			ResourceNamesSubscribe: []string{"", "a b", "subset:", "subset:%zz:x", "subset:a:,", t.Name()},
		},
	)
	if got := f.next(); len(got.Resources) != 1 || got.Resources[0].Name != t.Name() {
		t.Errorf("%v", got)
	}
}

// Any bytes as a request, in both protocols: afterwards a proper client is still served.
func FuzzRequests(f *testing.F) {
	seed, err := proto.Marshal(
		&api.DiscoveryRequest{
			TypeUrl:       resource.ClusterType,
			ResourceNames: []string{"fuzz", "subset:fuzz:v1"},
			VersionInfo:   "1",
			ResponseNonce: "2",
		},
	)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, seed)
	f.Add(protowire.AppendTag(nil, 4, protowire.BytesType), []byte{0xff})
	client := clienttest.Shared(f)
	p := serve(f, client, "127.0.0.1:0")
	conn := connect(f, p.at)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		for _, method := range []string{"StreamAggregatedResources", "DeltaAggregatedResources"} {
			ctx, cancel := context.WithTimeout(context.Background(), clienttest.Long)
			stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
				"/envoy.service.discovery.v3.AggregatedDiscoveryService/"+method, grpc.ForceCodec(bytesCodec{}))
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range [][]byte{first, second} {
				if stream.SendMsg(b) != nil {
					break // the server has ended the stream
				}
			}
			_ = stream.CloseSend()
			for err == nil {
				err = stream.RecvMsg(new([]byte))
			}
			if ctx.Err() != nil {
				t.Errorf("%s hangs: %v", method, err)
			}
			cancel()
		}
		well := newFollower(t, p.at)
		well.ask(&api.DeltaDiscoveryRequest{TypeUrl: resource.EndpointType, ResourceNamesSubscribe: []string{"fuzz"}})
		well.next()
	})
}

// bytesCodec sends bytes as they are.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) ([]byte, error) {
	if b, ok := v.([]byte); ok {
		return b, nil
	}
	return proto.Marshal(v.(*emptypb.Empty))
}
func (bytesCodec) Unmarshal(b []byte, v any) error { *v.(*[]byte) = b; return nil }
func (bytesCodec) Name() string                    { return "proto" }
