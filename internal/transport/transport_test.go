package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/fairlead-go/fairlead/internal/endpoint"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// peer records the calls that it gets.
type peer struct {
	ep endpoint.Endpoint

	mu     sync.Mutex
	conns  []net.Conn
	bytes  int
	failed []error
	wrong  int
}

func (p *peer) Endpoint() endpoint.Endpoint { return p.ep }
func (p *peer) MayDiagnose() bool           { return true }

func (p *peer) Addresses(found []netip.Addr) []netip.Addr { return found }

func (p *peer) ConnOpened(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
}

func (p *peer) BytesArrived() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes++
}

func (p *peer) ConnFailed(err error, wrong bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = append(p.failed, err)
	if wrong {
		p.wrong++
	}
}

// connect makes a gRPC connection to addr whose attributes carry a peer.
func connect(t *testing.T, addr string, opts ...grpc.DialOption) (*peer, *grpc.ClientConn) {
	t.Helper()
	e, err := endpoint.Parse(addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{ep: e}
	r := manual.NewBuilderWithScheme("test")
	r.InitialState(
		resolver.State{
			Addresses: []resolver.Address{{Addr: e.Target(), ServerName: e.ServerName(), Attributes: WithPeer(nil, p)}},
		},
	)
	cc, err := grpc.NewClient("test:///x", append([]grpc.DialOption{grpc.WithResolvers(r)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return p, cc
}

func check(cc *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

// Whichever of dialer and credentials the user replaces, the connection is seen,
// exactly once, and closing it ends the call on it.
func TestConnectionIsSeen(t *testing.T) {
	addr := etcdtest.Start(t, etcdtest.Options{}).Endpoints()[0]
	own := grpc.WithContextDialer(func(ctx context.Context, a string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", a)
	})
	for name, opts := range map[string][]grpc.DialOption{
		"ours":         {grpc.WithContextDialer(Dial), grpc.WithTransportCredentials(Credentials(nil, nil))},
		"users dialer": {own, grpc.WithTransportCredentials(Credentials(nil, nil))},
	} {
		p, cc := connect(t, addr, opts...)
		if err := check(cc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p.mu.Lock()
		if len(p.conns) != 1 || p.bytes == 0 || len(p.failed) != 0 {
			t.Errorf("%s: %d connections, %d reads, failures %v", name, len(p.conns), p.bytes, p.failed)
		}
		p.mu.Unlock()
	}
}

func TestTLSConnectionIsSeenBelowTLS(t *testing.T) {
	ca := etcdtest.NewTLS(t)
	addr := etcdtest.Start(t, etcdtest.Options{TLS: ca}).Endpoints()[0]
	p, cc := connect(
		t,
		addr,
		grpc.WithContextDialer(Dial),
		grpc.WithTransportCredentials(Credentials(ca.ClientConfig(t), nil)),
	)
	if err := check(cc); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.conns) != 1 || p.bytes == 0 {
		t.Fatalf("%d connections, %d reads", len(p.conns), p.bytes)
	}
	if _, ok := p.conns[0].(*tls.Conn); ok {
		t.Error("closing the TLS connection would wait for the peer")
	}
}

func TestFirstBytesTellWhatAnswers(t *testing.T) {
	for in, want := range map[string]error{
		"\x00\x00\x18\x04\x00":                 nil, // SETTINGS
		"HTTP/1.1 400 Bad Request":             ErrPlainHTTP,
		"HTTP/1.0 400 Bad Request\r\n\r\nTLS?": ErrWantsTLS,
		"\x15\x03\x01\x00\x02":                 ErrWantsTLS,
		"SSH-2.0-OpenSSH":                      ErrNotHTTP2,
		"\x00":                                 nil, // too little to tell
	} {
		if got := notHTTP2([]byte(in), false); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
	if got := notHTTP2([]byte("HTTP/1.0 400 Bad"), true); got != ErrPlainHTTP {
		t.Errorf("behind TLS: %v", got)
	}
}

func TestDiagnose(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	secure.Config.ErrorLog = nil
	etcd, err := net.ResolveTCPAddr("tcp", etcdtest.Shared(t).Endpoints()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := diagnose(secure.Listener.Addr(), false); err != ErrWantsTLS {
		t.Errorf("a TLS server: %v", err)
	}
	if err := diagnose(etcd, true); err != ErrNotTLS {
		t.Errorf("a plain server: %v", err)
	}
	tlsEtcd, err := net.ResolveTCPAddr("tcp",
		etcdtest.Start(t, etcdtest.Options{TLS: etcdtest.NewTLS(t)}).Endpoints()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := diagnose(tlsEtcd, true); err != nil {
		t.Errorf("an etcd with TLS: %v", err)
	}
	if err := diagnose(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, true); err != nil {
		t.Errorf("nobody: %v", err)
	}
}

// TestRefusalIsSeenByAWrite: a server refuses the client's certificate after the handshake, which
// is over for the client. The server's reason is found also if a write fails before a read.
func TestRefusalIsSeenByAWrite(t *testing.T) {
	ca := etcdtest.NewTLS(t)
	pair, err := tls.LoadX509KeyPair(ca.CertFile, ca.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	refused := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			s := &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}
			err = tls.Server(c, s).Handshake()
			c.Close()
		}
		refused <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	cfg := ca.ClientConfig(t)
	cfg.Certificates, cfg.ServerName = nil, "localhost"
	secure := tls.Client(raw, cfg)
	if err := secure.Handshake(); err != nil {
		t.Fatal(err)
	}
	if <-refused == nil {
		t.Fatal("the server does not refuse")
	}
	if err := secure.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	p := &peer{}
	c := &trackedConn{Conn: secure, peer: p, secure: true}
	for err = nil; err == nil; { // the first one may still be taken by the kernel
		_, err = c.Write([]byte("PRI * HTTP/2.0"))
	}
	if !isAlert(err) || p.wrong != 1 {
		t.Errorf("%v, reported %d times", err, p.wrong)
	}
}

func TestUseTLS(t *testing.T) {
	for raw, want := range map[string][2]bool{
		"a:1": {false, true}, "http://a:1": {false, false}, "https://a:1": {true, true},
	} {
		e, err := endpoint.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{UseTLS(e, false), UseTLS(e, true)}; got != want {
			t.Errorf("%s: %v, want %v", raw, got, want)
		}
	}
	if _, _, err := Credentials(nil, nil).ServerHandshake(nil); err == nil {
		t.Error("client credentials serve")
	}
}

func TestReloadKeepsWhatWorked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	write := func(s string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
	}
	r := &reloaded[string]{names: []string{file}, load: func() (string, error) {
		b, err := os.ReadFile(file)
		if string(b) == "broken" {
			err = errors.New("broken")
		}
		return string(b), err
	}}
	if _, err := r.get(); err == nil {
		t.Error("a missing file at the start is no error")
	}
	for i, step := range []struct{ write, want string }{
		{"one", "one"}, {"two", "two"}, {"broken", "two"}, {"three", "three"},
	} {
		write(step.write, time.Hour-time.Duration(i)*time.Minute)
		if got, err := r.get(); err != nil || got != step.want {
			t.Errorf("after %q: %q, %v", step.write, got, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got, err := r.get(); err != nil || got != "three" {
		t.Errorf("without the file: %q, %v", got, err)
	}
}

func ExampleTLSConfig() {
	_, _, err := TLSConfig(Files{Cert: "client.pem"})
	fmt.Println(err)
	// Output: client certificate and key belong together: only one of the two files is given
}
