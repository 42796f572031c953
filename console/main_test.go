package console_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

const secret = "a secret of the tests"

// page stands for a browser's page: it has a cookie and a secret once it has signed in.
type page struct {
	t      testing.TB
	url    string
	client *http.Client
	cookie *http.Cookie
	secret string
	header http.Header // sent along
}

// serve starts a console and returns a page that has not signed in.
func serve(t testing.TB, client *clientv3.Client, opts ...console.Option) *page {
	t.Helper()
	c, err := console.New(client, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return pageOf(t, c)
}

// pageOf serves a console until the test's end, and returns a page that has not signed in.
func pageOf(t testing.TB, c *console.Console) *page {
	t.Helper()
	s := httptest.NewServer(c)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		s.Close()
	})
	hc := &http.Client{
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(hc.CloseIdleConnections)
	return &page{t: t, url: s.URL, client: hc, header: make(http.Header)}
}

// open starts a console of the shared server and signs in.
func open(t testing.TB, opts ...console.Option) (*page, *clientv3.Client) {
	t.Helper()
	client := clienttest.Shared(t)
	p := serve(t, client, append(opts, console.WithToken(secret))...)
	p.signIn()
	return p, client
}

func (p *page) signIn() {
	p.t.Helper()
	p.signInWith(map[string]string{"token": secret})
}

// signInWith signs in and keeps the cookie and the secret.
func (p *page) signInWith(proof map[string]string) {
	p.t.Helper()
	var got struct{ Secret string }
	if status := p.call("POST", "api/session", proof, &got); status != http.StatusOK || p.cookie == nil ||
		got.Secret == "" {
		p.t.Fatalf("signing in: status %d, cookie %v, secret %q", status, p.cookie, got.Secret)
	}
	p.secret = got.Secret
}

// request sends a request as a browser would.
func (p *page) request(ctx context.Context, method, path string, body any) *http.Response {
	p.t.Helper()
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			p.t.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, p.url+"/"+path, in)
	if err != nil {
		p.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, values := range p.header {
		r.Header[name] = values
	}
	if host := p.header.Get("Host"); host != "" {
		r.Host = host
	}
	if p.cookie != nil {
		r.AddCookie(p.cookie)
	}
	if p.secret != "" {
		r.Header.Set("Fairlead-Session", p.secret)
	}
	resp, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, c := range resp.Cookies() {
		p.cookie = c
	}
	return resp
}

// call sends a request and decodes the answer.
func (p *page) call(method, path string, body, into any) int {
	p.t.Helper()
	resp := p.request(clienttest.Within(p.t, clienttest.Long), method, path, body)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			p.t.Fatalf("%s %s: status %d, %q: %v", method, path, resp.StatusCode, text, err)
		}
	}
	return resp.StatusCode
}

// get expects an answer without an error.
func (p *page) get(path string, into any) {
	p.t.Helper()
	if status := p.call("GET", path, nil, into); status != http.StatusOK {
		var e failure
		p.call("GET", path, nil, &e)
		p.t.Fatalf("GET %s: status %d: %+v", path, status, e)
	}
}

// failure is an error of the API.
type failure struct {
	Error   string
	Code    string
	Members []struct{ Endpoint, State, Reason string }
	Detail  json.RawMessage
	By      string
}

// refused expects an error.
func (p *page) refused(method, path string, body any, status int, code string) failure {
	p.t.Helper()
	var e failure
	if got := p.call(method, path, body, &e); got != status || e.Code != code || e.Error == "" {
		p.t.Fatalf("%s %s: status %d, %+v; want %d, %s", method, path, got, e, status, code)
	}
	return e
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func put(t testing.TB, kv clientv3.KV, key, value string, opts ...clientv3.OpOption) int64 {
	t.Helper()
	r, err := kv.Put(clienttest.Within(t, clienttest.Long), key, value, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

// value returns a key's value, "<none>" without one.
func value(t testing.TB, kv clientv3.KV, key string) string {
	t.Helper()
	r, err := kv.Get(clienttest.Within(t, clienttest.Long), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Kvs) == 0 {
		return "<none>"
	}
	return string(r.Kvs[0].Value)
}

func b64Std(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
