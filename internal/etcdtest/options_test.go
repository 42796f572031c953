package etcdtest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func tlsClient(cfg *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: cfg}}
}

func TestTLS(t *testing.T) {
	auth := NewTLS(t)
	c := Start(t, Options{TLS: auth, ClientCertAuth: true})
	url := c.Members()[0].URL
	if err := put(within(t, readyTimeout), tlsClient(auth.ClientConfig(t)), url, "k", "v"); err != nil {
		t.Fatal(err)
	}
	noCert := auth.ClientConfig(t)
	noCert.Certificates = nil
	if put(within(t, readyTimeout), tlsClient(noCert), url, "k", "v") == nil {
		t.Error("a client without a certificate was served")
	}
	var unknown x509.UnknownAuthorityError
	err := put(within(t, readyTimeout), tlsClient(NewTLS(t).ClientConfig(t)), url, "k", "v")
	if !errors.As(err, &unknown) {
		t.Errorf("with another authority: %v", err)
	}
	expired := auth.ClientConfig(t)
	cert, key := auth.Issue(t, "expired", Certificate{NotAfter: time.Now().Add(-24 * time.Hour)})
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	expired.Certificates = []tls.Certificate{pair}
	if put(within(t, readyTimeout), tlsClient(expired), url, "k", "v") == nil {
		t.Error("a client with an expired certificate was served")
	}
}

func TestServerCertificateOfAnotherName(t *testing.T) {
	auth := NewTLS(t)
	auth.CertFile, auth.KeyFile = auth.Issue(t, "other", Certificate{DNSNames: []string{"etcd.example"}})
	c := Start(t, Options{TLS: auth})
	cfg := auth.ClientConfig(t)
	var name x509.HostnameError
	if err := put(within(t, readyTimeout), tlsClient(cfg), c.Members()[0].URL, "k", "v"); !errors.As(err, &name) {
		t.Errorf("error %v, want one about the host name", err)
	}
	cfg.ServerName = "etcd.example"
	if err := put(within(t, readyTimeout), tlsClient(cfg), c.Members()[0].URL, "k", "v"); err != nil {
		t.Errorf("with the server name given: %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	c := Start(t, Options{Unix: true})
	m := c.Members()[0]
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", m.Socket)
		},
	}}
	eventually(t, func(ctx context.Context) error { return put(ctx, client, "http://socket", "k", "v") })
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) error { return put(ctx, client, "http://socket", "k", "v") })
}

func TestArgsAndMetrics(t *testing.T) {
	c := Start(t, Options{Args: []string{"--max-request-bytes=1000"}})
	m := c.Members()[0]
	wantPut(t, m)
	if err := put(within(t, readyTimeout), httpClient(), m.URL, "k", strings.Repeat("x", 2000)); err == nil {
		t.Error("a request above the limit was served")
	}
	if v, err := m.Metric(within(t, readyTimeout), "etcd_server_has_leader"); err != nil || v != 1 {
		t.Errorf("etcd_server_has_leader: %v, %v", v, err)
	}
	if _, err := m.Metric(within(t, readyTimeout), "no_such_metric"); err == nil {
		t.Error("no error for an unknown metric")
	}
	if id, err := m.ID(within(t, readyTimeout)); err != nil || id == 0 {
		t.Errorf("id %x, %v", id, err)
	}
}

func TestGRPCProxy(t *testing.T) {
	for _, o := range []Options{{Members: 3}, {TLS: NewTLS(t), ClientCertAuth: true}} {
		c := Start(t, o)
		addr := Proxy(t, c)
		resp, err := http.Get("http://" + addr + "/health")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(text), `"health":"true"`) {
			t.Fatalf("health through the proxy: %s, %v", text, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestSharedIsOne(t *testing.T) {
	var wg sync.WaitGroup
	got := make([]*Cluster, 8)
	for i := range got {
		wg.Go(func() { got[i] = Shared(t) })
	}
	wg.Wait()
	for _, c := range got {
		if c != got[0] {
			t.Fatal("two shared clusters")
		}
	}
	wantPut(t, got[0].Members()[0])
}

func TestBinaryIsBuiltOnce(t *testing.T) {
	var wg sync.WaitGroup
	paths := make([]string, 4)
	for i := range paths {
		wg.Go(func() {
			p, err := Binary("")
			if err != nil {
				t.Error(err)
			}
			paths[i] = p
		})
	}
	wg.Wait()
	for _, p := range paths {
		if p == "" || p != paths[0] {
			t.Fatalf("paths %q", paths)
		}
	}
}
