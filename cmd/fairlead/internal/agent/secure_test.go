package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// At an address that others reach, HTTP is served with TLS, and every request needs a token. A
// replaced certificate is used.
func TestHTTPS(t *testing.T) {
	ca := etcdtest.NewTLS(t)
	cert, key := ca.Issue(t, "agent", etcdtest.Certificate{DNSNames: []string{"localhost"}})
	r := start(t, clienttest.Shared(t), func(o *Options) {
		o.exposed, o.Cert, o.Key = true, cert, key
	})
	at := r.agent.servers[0].listener.Addr().String()
	_, port, _ := net.SplitHostPort(at)
	config := ca.ClientConfig(t)
	config.Certificates = nil
	transport := &http.Transport{
		TLSClientConfig: config,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", at)
		},
	}
	defer transport.CloseIdleConnections()
	r.base, r.http.Transport = "https://localhost:"+port, transport
	s := t.Name()
	r.want(201, nil, "PUT", instance(s, "one"), `{"addresses":["10.0.0.1:80"]}`)
	r.want(200, nil, "GET", "/v1/services/"+s, "")
	for _, token := range []string{"", "wrong-token-0123456789"} {
		r.token = token
		for _, path := range []string{
			"/v1/services/" + s, "/healthz", "/metrics", "/openapi.json", "/v1/prometheus", "/nothing",
		} {
			if got, text := r.call("GET", path, ""); got != 401 {
				t.Errorf("%s with the token %q: %d %s", path, token, got, text)
			}
		}
		r.want(401, nil, "PUT", instance(s, "one"), `{"addresses":["10.0.0.1:80"]}`)
	}
	r.token = secret
	r.want(204, nil, "DELETE", instance(s, "one"), "")

	if text := plain(t, at); !strings.Contains(text, " 400 ") {
		t.Errorf("a request without TLS gets %q", text)
	}
	old := config.Clone()
	old.MaxVersion = tls.VersionTLS11
	if c, err := tls.Dial("tcp", at, old); err == nil {
		c.Close()
		t.Error("TLS 1.1 is spoken")
	}
	was := serial(t, at, config)
	ca.Issue(t, "agent", etcdtest.Certificate{DNSNames: []string{"localhost"}}) // replaces the files
	clienttest.Await(t, "the new certificate is used", func() bool { return serial(t, at, config) != was })
}

// plain returns the answer to a request without TLS.
func plain(t *testing.T, at string) string {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(c) // what was sent before the connection was cut off
	return string(text)
}

func serial(t *testing.T, at string, config *tls.Config) string {
	t.Helper()
	config = config.Clone()
	config.ServerName = "localhost"
	c, err := tls.Dial("tcp", at, config)
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		t.Fatal(err)
	}
	if err != nil {
		return "" // only one of the two files is replaced yet
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// At an address that others reach, DNS answers queries of this machine and of the named networks,
// and of no others.
func TestAllowedNetworks(t *testing.T) {
	o := Options{DNS: "127.0.0.1:0", exposed: true}
	if err := o.Check(); err == nil {
		t.Error("DNS for everybody is taken")
	}
	o.Answers.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	if err := o.Check(); err != nil {
		t.Error(err)
	}
	r := start(t, clienttest.Shared(t), func(o *Options) {
		o.DNS, o.Answers.Domain, o.Answers.Allow = "127.0.0.1:0", "x.internal", []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"),
		}
	})
	var q dns.Msg
	q.SetQuestion("x.internal.", dns.TypeSOA)
	if a, err := dns.Exchange(&q, r.agent.names.Addr()); err != nil || len(a.Answer) != 1 {
		t.Errorf("%v %v", a, err)
	}
}

// The agent notifies systemd when it serves, and when it begins to end.
func TestSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	said := make(chan string, 10)
	go func() {
		buf := make([]byte, 1024)
		for {
			n, err := l.Read(buf)
			if err != nil {
				return
			}
			said <- string(buf[:n])
		}
	}()
	r := start(t, clienttest.Shared(t), nil)
	if got := clienttest.Receive(t, "it says that it serves", said); got != "READY=1" {
		t.Errorf("%q", got)
	}
	r.want(200, nil, "GET", "/healthz", "")
	r.stop()
	if got := clienttest.Receive(t, "it says that it ends", said); got != "STOPPING=1" {
		t.Errorf("%q", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	start(
		t,
		clienttest.Shared(t),
		nil,
	).want(200, nil, "GET", "/healthz", "")
	// a failed notification is no reason not to serve
}
