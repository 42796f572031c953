package agent

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"

	ads "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// At an address that others reach, a client with a certificate is served, and one without is
// refused.
func TestXDS(t *testing.T) {
	ca := etcdtest.NewTLS(t)
	cert, key := ca.Issue(t, "agent", etcdtest.Certificate{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
	r := start(t, clienttest.Shared(t), func(o *Options) {
		o.XDS, o.XDSCert, o.XDSKey, o.XDSCAs = "127.0.0.1:0", cert, key, ca.CAFile
	})
	at := r.agent.plane.listener.Addr().String()
	r.want(201, nil, "PUT", instance(t.Name(), "one"), `{"addresses":["10.0.0.1:80"]}`)
	conn, err := grpc.NewClient(at, grpc.WithTransportCredentials(credentials.NewTLS(ca.ClientConfig(t))))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := ads.NewAggregatedDiscoveryServiceClient(conn).
		StreamAggregatedResources(clienttest.Within(t, clienttest.Long))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&ads.DiscoveryRequest{
		TypeUrl: resource.ListenerType, ResourceNames: []string{t.Name()},
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := stream.Recv(); err != nil || len(got.Resources) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	var h healthAnswer
	r.want(200, &h, "GET", "/healthz", "")
	if h.Services != 1 {
		t.Errorf("%+v", h)
	}
	if _, text := r.call("GET", "/metrics", ""); !strings.Contains(text, "fairlead_agent_xds_streams 1") {
		t.Errorf("%s", text)
	}

	config := ca.ClientConfig(t)
	config.Certificates, config.GetClientCertificate, config.NextProtos = nil, nil, []string{"h2"}
	nobody, err := tls.Dial("tcp", at, config)
	if err == nil { // in TLS 1.3 the client is refused after its side is done
		_, err = nobody.Read(make([]byte, 1))
		nobody.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without a certificate: %v", err)
	}
}

func TestXDSOptions(t *testing.T) {
	for what, c := range map[string]struct {
		o    Options
		says string
	}{
		"others":       {Options{XDS: "0.0.0.0:80"}, "both sides must prove"},
		"one way":      {Options{XDS: "0.0.0.0:80", XDSCert: "a", XDSKey: "b"}, "belong together"},
		"no xDS":       {Options{DNS: "127.0.0.1:0", XDSServices: []string{"a"}}, "of no use"},
		"no service":   {Options{XDS: "127.0.0.1:0", XDSServices: []string{"a b"}}, "not a name of a service"},
		"no address":   {Options{XDS: "x"}, "--xds:"},
		"loopback":     {Options{XDS: "[::1]:0", XDSServices: []string{"a"}}, ""},
		"with mutual":  {Options{XDS: ":80", XDSCert: "a", XDSKey: "b", XDSCAs: "c"}, ""},
		"nothing else": {Options{}, "--xds"},
	} {
		if err := c.o.Check(); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A port that is in use is an error that leaves nothing open.
func TestXDSPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(clienttest.Shared(t), Options{XDS: l.Addr().String(), Say: func(string) {}}); err == nil {
		t.Error("it listens")
	}
	r := start(t, clienttest.Shared(t), func(o *Options) { o.XDS, o.HTTP, o.TokenFile = "127.0.0.1:0", "", "" })
	c, err := new(net.Dialer).DialContext(context.Background(), "tcp", r.agent.plane.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// Connections without streams, however many, keep out no client that has a stream or wants one.
func TestXDSIdleConnections(t *testing.T) {
	const many = 10_000
	r := start(t, clienttest.Shared(t), func(o *Options) { o.XDS = "127.0.0.1:0" })
	at := r.agent.plane.listener.Addr().String()
	r.want(201, nil, "PUT", instance(t.Name(), "one"), `{"addresses":["10.0.0.1:80"]}`)
	ask := func(stream ads.AggregatedDiscoveryService_StreamAggregatedResourcesClient, kind string) {
		t.Helper()
		if err := stream.Send(&ads.DiscoveryRequest{TypeUrl: kind, ResourceNames: []string{t.Name()}}); err != nil {
			t.Fatal(err)
		}
		if got, err := stream.Recv(); err != nil || len(got.Resources) != 1 {
			t.Fatalf("%v, %v", got, err)
		}
	}
	client := func() ads.AggregatedDiscoveryService_StreamAggregatedResourcesClient {
		t.Helper()
		conn, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		stream, err := ads.NewAggregatedDiscoveryServiceClient(conn).
			StreamAggregatedResources(clienttest.Within(t, 2*clienttest.Long))
		if err != nil {
			t.Fatal(err)
		}
		ask(stream, resource.ListenerType)
		return stream
	}
	before := client()
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range many {
		c, err := net.DialTimeout("tcp", at, clienttest.Long)
		if err != nil {
			t.Fatalf("after %d: %v", len(conns), err)
		}
		if conns = append(conns, c); len(conns)%2 == 0 { // half of them begin as HTTP/2 does
			_, _ = io.WriteString(c, http2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00") // closed, perhaps
		}
	}
	client()
	ask(before, resource.RouteType)
	if g := r.agent.plane.listener.(*gate); !within(g, mostPlaneConns) {
		t.Error("more connections are open than it takes")
	}
}

func within(g *gate, most int) bool {
	g.conns.mu.Lock()
	defer g.conns.mu.Unlock()
	return len(g.conns.open) <= most
}
