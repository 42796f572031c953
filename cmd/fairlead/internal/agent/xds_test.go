package agent

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"

	ads "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// A client with a certificate is served, where others reach the agent; one without is not.
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
	if err := stream.Send(&ads.DiscoveryRequest{TypeUrl: resource.ListenerType, ResourceNames: []string{t.Name()}}); err != nil {
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
		"no service":   {Options{XDS: "127.0.0.1:0", XDSServices: []string{"a b"}}, "no name of a service"},
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

// A port that is taken is an error that leaves nothing open.
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
