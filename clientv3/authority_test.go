package clientv3_test

import (
	"context"
	"crypto/tls"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// namesServer notes how clients call it.
type namesServer struct {
	pb.UnimplementedKVServer
	mu    sync.Mutex
	names map[string]bool
}

func (s *namesServer) Range(ctx context.Context, _ *pb.RangeRequest) (*pb.RangeResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range md.Get(":authority") {
		s.names[name] = true
	}
	return &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 1}}, nil
}

// take returns the names since the last time.
func (s *namesServer) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for name := range s.names {
		list = append(list, name)
	}
	clear(s.names)
	slices.Sort(list)
	return list
}

// serveNames serves on addresses ("network addr") until the test ends and returns the
// listeners' own addresses.
func serveNames(t *testing.T, config *tls.Config, addresses ...string) (*namesServer, []string) {
	t.Helper()
	s := &namesServer{names: make(map[string]bool)}
	var opts []grpc.ServerOption
	if config != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(config)))
	}
	g := grpc.NewServer(opts...)
	pb.RegisterKVServer(g, s)
	var at []string
	for _, a := range addresses {
		network, addr, _ := strings.Cut(a, " ")
		at = append(at, listenOn(t, g, network, addr))
	}
	return s, at
}

// Proxies and servers route by :authority: it is the endpoint's host and port, and the last
// element of a socket's path, as gRPC forms it.
func TestAuthorityIsHostAndPort(t *testing.T) {
	t.Chdir(t.TempDir())
	dir := t.TempDir()
	s, at := serveNames(
		t,
		nil,
		"tcp4 127.0.0.1:0",
		"tcp6 [::1]:0",
		"unix localhost:m0",
		"unix "+filepath.Join(dir, "etcd.sock"),
	)
	_, port, err := net.SplitHostPort(at[0])
	if err != nil {
		t.Fatal(err)
	}
	sock := filepath.Join(dir, "etcd.sock")
	for _, tc := range []struct {
		endpoint, want string
	}{
		{at[0], at[0]},
		{"http://" + at[0], at[0]},
		{"http://" + at[0] + "/", at[0]},
		{"localhost:" + port, "localhost:" + port},
		{at[1], at[1]}, // with brackets
		{"http://" + at[1], at[1]},
		{"unix:localhost:m0", "localhost:m0"},
		{"unix://localhost:m0", "localhost:m0"},
		{"unix:" + sock, "etcd.sock"},
		{"unix://" + sock, "etcd.sock"},
	} {
		c := dial(t, clientv3.Config{Endpoints: []string{tc.endpoint}})
		if _, err := c.Get(ctxFor(t, long), "k"); err != nil {
			t.Fatalf("%s: %v", tc.endpoint, err)
		}
		if got := s.take(); !slices.Equal(got, []string{tc.want}) {
			t.Errorf("%s: :authority is %q, want %q", tc.endpoint, got, tc.want)
		}
		cc, err := c.Dial(tc.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pb.NewKVClient(cc).Range(ctxFor(t, long), &pb.RangeRequest{}); err != nil {
			t.Errorf("over Dial's connection to %s: %v", tc.endpoint, err)
		}
		cc.Close()
		if got := s.take(); !slices.Equal(got, []string{tc.want}) {
			t.Errorf("%s: :authority over Dial's connection is %q, want %q", tc.endpoint, got, tc.want)
		}
	}
}

func TestAuthorityOfSeveralEndpoints(t *testing.T) {
	one, atOne := serveNames(t, nil, "tcp4 127.0.0.1:0")
	two, atTwo := serveNames(t, nil, "tcp4 127.0.0.1:0")
	c := dial(t, clientv3.Config{Endpoints: []string{atOne[0], atTwo[0]}})
	for range 100 {
		if _, err := c.Get(ctxFor(t, long), "k"); err != nil {
			t.Fatal(err)
		}
	}
	// A call goes to either of them, but neither is ever called by the other's name.
	for at, got := range map[string][]string{atOne[0]: one.take(), atTwo[0]: two.take()} {
		if len(got) > 0 && !slices.Equal(got, []string{at}) {
			t.Errorf("%s was called %q", at, got)
		}
	}
	own := dial(
		t,
		clientv3.Config{
			Endpoints:   []string{atOne[0], atTwo[0]},
			DialOptions: []grpc.DialOption{grpc.WithAuthority("mine")},
		},
	)
	for range 100 {
		if _, err := own.Get(ctxFor(t, long), "k"); err != nil {
			t.Fatal(err)
		}
	}
	for _, got := range [][]string{one.take(), two.take()} {
		if len(got) > 0 && !slices.Equal(got, []string{"mine"}) {
			t.Errorf("with the user's own authority: %q", got)
		}
	}
}

// What a certificate is checked against is not the :authority: for sockets it is
// localhost, and Config.TLS can name something else.
func TestAuthorityIsNotTheServersName(t *testing.T) {
	ca := etcdtest.NewTLS(t)
	pair := func(certFile, keyFile string) *tls.Config {
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	sock := filepath.Join(t.TempDir(), "etcd.sock")
	s, at := serveNames(t, pair(ca.CertFile, ca.KeyFile), "unix "+sock, "tcp4 127.0.0.1:0")
	for endpoint, want := range map[string]string{
		"unixs://" + sock: "etcd.sock", "unix:" + sock: "etcd.sock", "https://" + at[1]: at[1],
	} {
		c := dial(t, clientv3.Config{Endpoints: []string{endpoint}, TLS: ca.ClientConfig(t)})
		if _, err := c.Get(ctxFor(t, long), "k"); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
		if got := s.take(); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: :authority is %q, want %q", endpoint, got, want)
		}
		cc, err := c.Dial(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pb.NewKVClient(cc).Range(ctxFor(t, long), &pb.RangeRequest{}); err != nil {
			t.Errorf("over Dial's connection to %s: %v", endpoint, err)
		}
		cc.Close()
		s.take()
	}
	certFile, keyFile := ca.Issue(t, "named", etcdtest.Certificate{DNSNames: []string{"etcd.example"}})
	_, at = serveNames(t, pair(certFile, keyFile), "tcp4 127.0.0.1:0")
	named := ca.ClientConfig(t)
	named.ServerName = "etcd.example"
	for name, cfg := range map[string]clientv3.Config{
		"server name": {TLS: named},
		"user's authority": {
			TLS: ca.ClientConfig(t), DialOptions: []grpc.DialOption{grpc.WithAuthority("etcd.example")},
		},
		"both, the same": {TLS: named, DialOptions: []grpc.DialOption{grpc.WithAuthority("etcd.example")}},
		"authority + port?": {
			TLS: ca.ClientConfig(t), DialOptions: []grpc.DialOption{grpc.WithAuthority("etcd.example:2379")},
		},
	} {
		cfg.Endpoints = []string{"https://" + at[0]}
		if _, err := dial(t, cfg).Get(ctxFor(t, long), "k"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
