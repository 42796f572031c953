package httpdisc_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestRoundTrip(t *testing.T) {
	r, tr := setup(t, clienttest.Shared(t), httpdisc.WithPolicy(pick.RoundRobin()))
	servers := []*server{serve(t, "a"), serve(t, "b"), serve(t, "c")}
	for _, s := range servers {
		register(t, r, s)
	}
	await(t, tr, 3)
	got := make(map[string]int)
	for range 30 {
		name, text, status, err := do(tr,
			request(t, within(t), "POST", "http://orders/v1/x%2Fy?q=1", strings.NewReader("hello")))
		if err != nil || status != 200 || text != "POST /v1/x%2Fy?q=1 hello" {
			t.Fatalf("%v %v %v", text, status, err)
		}
		got[name]++
	}
	if got["a"] != 10 || got["b"] != 10 || got["c"] != 10 {
		t.Errorf("%v", got)
	}
	if h := servers[0].host.Load(); h != "orders" {
		t.Errorf("Host: %v", h)
	}
	req := request(t, within(t), "GET", "http://orders/", nil)
	req.Host = "shop.example"
	before := *req.URL
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Request != req || *req.URL != before || req.Host != "shop.example" {
		t.Errorf("the request was changed: %v", req.URL)
	}
	name := resp.Header.Get("Server-Name")
	for _, s := range servers {
		if s.name == name && s.host.Load() != "shop.example" {
			t.Errorf("Host: %v", s.host.Load())
		}
	}
}

// An instance is occupied until its answer has been read.
func TestInstanceIsOccupiedUntilItsAnswerIsRead(t *testing.T) {
	r, tr := setup(t, clienttest.Shared(t))
	register(t, r, serve(t, "a"))
	await(t, tr, 1)
	resp, err := tr.RoundTrip(request(t, within(t), "GET", "http://orders/", nil))
	if err != nil {
		t.Fatal(err)
	}
	if s := tr.Statuses("orders")[0]; s.Outstanding != 1 || s.Latency == 0 {
		t.Errorf("%+v", s)
	}
	io.Copy(io.Discard, resp.Body)
	if s := tr.Statuses("orders")[0]; s.Outstanding != 0 {
		t.Errorf("%+v", s)
	}
	resp.Body.Close()
	resp.Body.Close()
	if s := tr.Statuses("orders")[0]; s.Outstanding != 0 {
		t.Errorf("%+v", s)
	}
}

func TestServiceWithoutInstancesFailsRequestsAtOnce(t *testing.T) {
	c := clienttest.Shared(t)
	r, tr := setup(t, c)
	_, _, _, err := do(tr, request(t, within(t), "GET", "http://orders/", nil))
	if !errors.Is(err, pick.ErrNoInstances) {
		t.Errorf("%v", err)
	}
	_, waiting := setup(t, c, httpdisc.WithPicking(pick.WithWait()))
	done := make(chan error, 1)
	go func() {
		_, _, _, err := do(waiting, request(t, within(t), "GET", "http://orders/", nil))
		done <- err
	}()
	clienttest.Await(t, "the service is known to be empty", func() bool { return waiting.Statuses("orders") != nil })
	register(t, r, serve(t, "a"))
	if err := clienttest.Receive(t, "the request that waits", done); err != nil {
		t.Error(err)
	}
}

func TestRefuses(t *testing.T) {
	r, tr := setup(t, clienttest.Shared(t))
	for _, url := range []string{"http://orders:80/", "ftp://orders/", "http:///x"} {
		closed := &closing{Reader: strings.NewReader("x")}
		req := request(t, within(t), "POST", url, closed)
		if _, err := tr.RoundTrip(req); err == nil || !closed.closed {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := tr.RoundTrip(&http.Request{}); err == nil {
		t.Error("no URL")
	}
	s := serve(t, "a")
	register(t, r, s, "http://"+s.addr())
	clienttest.Await(t, "https does not go out as http", func() bool {
		_, _, _, err := do(tr, request(t, within(t), "GET", "https://orders/", nil))
		return err != nil && strings.Contains(err.Error(), "none of 1 instances has an address for https")
	})
	tr.Close()
	_, _, _, err := do(tr, request(t, within(t), "GET", "http://orders/", nil))
	if !errors.Is(err, discovery.ErrClosed) {
		t.Errorf("%v", err)
	}
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

// The certificate must be valid for the name in the URL.
func TestTLS(t *testing.T) {
	names := make(chan string, 10)
	s := &server{
		name: "a",
		Server: httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Host, " ", r.TLS != nil)
		})),
	}
	s.TLS = &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		names <- h.ServerName
		return nil, nil
	}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	trusting := func(service string) http.RoundTripper {
		base := s.Client().Transport.(*http.Transport).Clone()
		base.TLSClientConfig.ServerName = service
		return base
	}
	c := clienttest.Shared(t)
	r, plain := setup(t, c, httpdisc.WithAttempts(1))
	_, tr := setup(t, c, httpdisc.WithTransport(trusting))
	in := discovery.Instance{Service: "example.com", ID: "a", Addresses: []string{"http://127.0.0.1:1", s.URL}}
	if _, err := r.Register(within(t), in); err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"https", "http"} { // http has an address of its own, without a server
		_, text, _, err := do(tr, request(t, within(t), "GET", scheme+"://example.com/", nil))
		if scheme == "https" && (err != nil || text != "example.com true") || scheme == "http" && err == nil {
			t.Errorf("%s: %v, %v", scheme, text, err)
		}
	}
	<-names
	var unknown *tls.CertificateVerificationError
	if _, _, _, err := do(plain, request(t, within(t), "GET", "https://example.com/", nil)); !errors.As(err, &unknown) {
		t.Errorf("%v", err)
	}
	if name := clienttest.Receive(t, "the name asked for", names); name != "example.com" {
		t.Errorf("asked for %q", name)
	}
}

func TestSuffix(t *testing.T) {
	other := serve(t, "other")
	r, tr := setup(t, clienttest.Shared(t), httpdisc.WithSuffix(".service", nil))
	s := serve(t, "a")
	register(t, r, s)
	clienttest.Await(t, "the service answers", func() bool {
		name, _, _, err := do(tr, request(t, within(t), "GET", "http://orders.service/", nil))
		return err == nil && name == "a"
	})
	if h := s.host.Load(); h != "orders.service" {
		t.Errorf("Host: %v", h)
	}
	if name, _, _, err := do(tr, request(t, within(t), "GET", other.URL, nil)); err != nil || name != "other" {
		t.Errorf("%v, %v", name, err)
	}
	tr.CloseIdleConnections()
}

// Requests go on while etcd is away, and start when it comes.
func TestEtcdAway(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	proxy := cluster.Members()[0].Proxy()
	direct, _ := setup(t, clienttest.Dial(t, cluster.Members()[0].Direct))
	register(t, direct, serve(t, "a"))
	proxy.BlackHole()
	_, tr := setup(t, clienttest.Dial(t, cluster.Endpoints()...))
	_, _, _, err := do(tr, request(t, within(t), "GET", "http://orders/", nil))
	if !errors.Is(err, pick.ErrNoInstances) || !strings.Contains(err.Error(), "etcd has not said") {
		t.Errorf("%v", err)
	}
	if err := proxy.Heal(); err != nil {
		t.Fatal(err)
	}
	await(t, tr, 1)
	proxy.BlackHole()
	for range 10 {
		if _, _, _, err := do(tr, request(t, within(t), "GET", "http://orders/", nil)); err != nil {
			t.Error(err)
		}
	}
	if err := proxy.Heal(); err != nil {
		t.Fatal(err)
	}
}
