package httpdisc_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(processEnv) != "" {
		process()
		return
	}
	etcdtest.Main(m)
}

func within(t testing.TB) context.Context { return clienttest.Within(t, clienttest.Long) }

func format(t testing.TB) discovery.JSON { return discovery.JSON{Base: t.Name() + "/"} }

// setup returns a registrar and a transport for a server's records.
func setup(t testing.TB, c *clientv3.Client, opts ...httpdisc.Option) (*discovery.Registrar, *httpdisc.Transport) {
	t.Helper()
	r := discovery.NewRegistrar(c, discovery.WithFormat(format(t)))
	t.Cleanup(func() { r.Close() })
	d := discovery.NewDirectory(
		c,
		discovery.WithFormat(format(t)),
		discovery.WithAnnounce("me"),
		discovery.WithLog(slog.New(slog.DiscardHandler)),
	)
	t.Cleanup(func() { d.Close() })
	tr := httpdisc.New(d, opts...)
	t.Cleanup(func() { tr.Close() })
	return r, tr
}

// server answers with its name and the request's body, or with a status that the test sets.
type server struct {
	*httptest.Server
	name   string
	calls  atomic.Int32
	status atomic.Int32
	host   atomic.Value
}

func serve(t testing.TB, name string, h ...http.HandlerFunc) *server {
	t.Helper()
	s := &server{name: name}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		s.host.Store(r.Host)
		w.Header().Set("Server-Name", name)
		body, _ := io.ReadAll(r.Body)
		switch status := s.status.Load(); {
		case len(h) > 0:
			h[0](w, r)
		case status != 0:
			http.Error(w, name+" answers so because the test wants it", int(status))
		default:
			io.WriteString(w, r.Method+" "+r.URL.RequestURI()+" "+string(body))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) addr() string { return s.Listener.Addr().String() }

func register(t testing.TB, r *discovery.Registrar, s *server, addresses ...string) *discovery.Registration {
	t.Helper()
	if len(addresses) == 0 {
		addresses = []string{s.addr()}
	}
	g, err := r.Register(within(t), discovery.Instance{Service: "orders", ID: s.name, Addresses: addresses})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func request(t testing.TB, ctx context.Context, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// do sends a request and returns the server's name and answer.
func do(tr http.RoundTripper, req *http.Request) (name, text string, status int, err error) {
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return "", "", 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.Header.Get("Server-Name"), string(b), resp.StatusCode, err
}

// await waits until n instances are known.
func await(t testing.TB, tr *httpdisc.Transport, n int) {
	t.Helper()
	do(tr, request(t, within(t), "HEAD", "http://orders/", nil)) // begins to follow the service
	clienttest.Await(t, "the instances are known", func() bool { return len(tr.Statuses("orders")) == n })
}
