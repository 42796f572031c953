package agent

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// Bodies that make no sense get an error and change nothing.
func TestBadBodiesChangeNothing(t *testing.T) {
	client := clienttest.Shared(t)
	r := start(t, client, nil)
	r.doc.wrong = true
	at := instance(t.Name(), "one")
	for _, body := range []string{
		`{`, `[]`, `null`, `1`, `{}`, `{"addresses":[]}`, `{"addresses":["nowhere"]}`, `{"addresses":"10.0.0.1:80"}`,
		`{"addresses":["10.0.0.1:80"],"ttl":4}`,
		`{"addresses":["10.0.0.1:80"],"ttl":3601}`, `{"addresses":["10.0.0.1:80"],"ttl":1e99}`,
		`{"addresses":["10.0.0.1:80"],"weight":-1}`,
		`{"addresses":["10.0.0.1:80"],"weight":65536}`, `{"addresses":["10.0.0.1:80"],"state":"up"}`,
		`{"addresses":["10.0.0.1:80"]}{}`,
		`{"addresses":["10.0.0.1:80"],"metadata":{"a":1}}`,
		`{"addresses":["10.0.0.1:80"],"metadata":{"a":"` + strings.Repeat("x", 70_000) + `"}}`,
	} {
		r.want(400, nil, "PUT", at, body)
	}
	r.want(413, nil, "PUT", at, `{"addresses":["`+strings.Repeat("x", maxBody)+`"]}`)
	r.want(400, nil, "POST", at+"/drain?limit=0", "")
	r.want(400, nil, "POST", at+"/drain?limit=x", "")
	r.want(400, nil, "GET", "/v1/services/"+t.Name()+"?filter=,", "")
	for _, path := range []string{"/", "/v1", "/v2/services", "/v1/services/x/y", "/v1/services/x/instances"} {
		r.want(404, nil, "GET", path, "")
	}
	r.want(404, nil, "PATCH", at, "")
	if exists(t, client, key(t.Name(), "one")) || r.agent.book.len() != 0 {
		t.Error("something is registered")
	}
}

// Idle connections, however many, keep no client out.
func TestIdleConnectionsKeepNoClientOut(t *testing.T) {
	const many = 10_000
	client := clienttest.Shared(t)
	r := start(t, client, nil)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range many {
		c, err := net.DialTimeout("tcp", strings.TrimPrefix(r.base, "http://"), clienttest.Long)
		if err != nil {
			t.Fatalf("after %d: %v", len(conns), err)
		}
		if conns = append(conns, c); len(conns)%2 == 0 { // half of them begin with a request
			if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localh"); err != nil &&
				len(conns) < mostConns {
				t.Fatal(err)
			}
		}
	}
	r.want(200, nil, "GET", "/healthz", "")
}

// A client that does not read its events holds nothing up, and is closed.
func TestSlowReaderHoldsNothingUp(t *testing.T) {
	client := clienttest.Shared(t)
	r := start(t, client, nil)
	s := t.Name()
	registrar := discovery.NewRegistrar(client)
	defer registrar.Close()
	reg, err := registrar.Register(clienttest.Within(t, clienttest.Long),
		discovery.Instance{Service: s, ID: "one", Addresses: []string{"10.0.0.1:80"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(r.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprintf(c, "GET /v1/services/%s/events HTTP/1.1\r\nHost: localhost\r\n\r\n", s)
	clienttest.Await(t, "it streams", func() bool { return len(r.agent.api.streams) == 1 })
	big := strings.Repeat("x", 50_000)
	ctx := clienttest.Within(t, 3*clienttest.Long)
	for n := 0; len(r.agent.api.streams) > 0; n++ {
		if err := reg.Update(ctx,
			func(in *discovery.Instance) { in.Metadata = map[string]string{"n": fmt.Sprint(n, big)} }); err != nil {
			t.Fatal(err)
		}
		r.want(200, nil, "GET", "/healthz", "")
	}
}

// fuzzed is the API without etcd behind it: no request gets as far as etcd.
func fuzzed(t testing.TB) http.Handler {
	client := clienttest.Dial(t, "127.0.0.1:1")
	d := discovery.NewDirectory(client, discovery.WithLog(nil))
	t.Cleanup(func() { d.Close() })
	f := &feeds{directory: d, most: 10, byName: make(map[string]*feed)}
	b := newBook(client, discovery.JSON{}, nil, 0, 0, func(string) {})
	g := &guard{socket: true}
	return g.wrap(newAPI(client, discovery.JSON{}, discovery.DefaultBase, f, b))
}

// FuzzBody puts bodies: none of them makes the agent panic or gets an answer that is not
// documented. There is no room for a registration, so a valid one gets that answer.
func FuzzBody(f *testing.F) {
	for _, body := range []string{
		`{"addresses":["10.0.0.1:80"],"ttl":30}`, `{"addresses":[`, `{"weight":1e400}`, "\x00\xff",
		`{"tags":null,"metadata":null}`,
	} {
		f.Add(body)
	}
	h, doc := fuzzed(f), newDocumented(f)
	doc.wrong = true
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("PUT", "http://localhost/v1/services/s/instances/i", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !slices.Contains([]int{400, 413, 415, 429}, w.Code) {
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
		doc.check(t, r, []byte(body), w.Result(), w.Body.Bytes())
	})
}

// FuzzPath renews with made up paths: each gets an answer, and none a success.
func FuzzPath(f *testing.F) {
	for _, path := range []string{
		"a/b", "..", "%2F", "a%20b", "s/instances/i/renew", "//", "%", "\x00", "s/instances/%ff/drain?limit=9",
	} {
		f.Add(path)
	}
	h := fuzzed(f)
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.Parse("http://localhost/v1/services/" + path)
		if err != nil {
			return // no server would see it
		}
		r := httptest.NewRequest("POST", "http://localhost/", nil)
		r.URL = u
		w := httptest.NewRecorder()
		begin := time.Now()
		h.ServeHTTP(w, r)
		if w.Code < 300 || w.Code >= 500 {
			t.Errorf("%q: %d %s after %v", path, w.Code, w.Body, time.Since(begin))
		}
	})
}
