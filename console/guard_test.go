package console_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/console"
	"github.com/fairlead-go/fairlead/internal/clienttest"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func TestAWayInMustBeNamed(t *testing.T) {
	if _, err := console.New(clienttest.Shared(t)); !errors.Is(err, console.ErrNoWayIn) {
		t.Fatalf("New: %v", err)
	}
	if _, err := console.New(clienttest.Shared(t), console.WithToken("")); !errors.Is(err, console.ErrNoWayIn) {
		t.Fatalf("New with an empty token: %v", err)
	}
}

func TestNothingWithoutASession(t *testing.T) {
	p := serve(t, clienttest.Shared(t), console.WithToken(secret))
	for _, path := range []string{
		"overview", "tree", "count", "key?key=YQ", "history?key=YQ", "services", "leases", "locks", "access",
		"stream?overview=1",
	} {
		p.refused("GET", "api/"+path, nil, http.StatusUnauthorized, "sign_in")
	}
	p.refused("PUT", "api/key", map[string]any{"key": "YQ==", "mod": 0}, http.StatusUnauthorized, "sign_in")
	for _, path := range []string{
		"delete", "delete/preview", "services/prospect", "services/control", "services/remove", "leases/grant",
		"leases/keepalive", "leases/revoke", "locks/release", "import", "access", "access/plan",
	} {
		p.refused("POST", "api/"+path, map[string]any{}, http.StatusUnauthorized, "sign_in")
	}
	p.cookie = &http.Cookie{Name: "fairlead-00000000", Value: "guessed"}
	p.refused("GET", "api/overview", nil, http.StatusUnauthorized, "sign_in")
	var me struct{ SignedIn, Token, Login bool }
	p.get("api/session", &me)
	if me.SignedIn || !me.Token || me.Login {
		t.Fatalf("session: %+v", me)
	}
}

// TestTheCookieAloneOpensNothing: browsers send it to every port of a host, so a server on another
// port gets it.
func TestTheCookieAloneOpensNothing(t *testing.T) {
	p, client := open(t)
	own := p.secret
	for _, s := range []string{"", "guessed", own[:len(own)-1], p.cookie.Value} {
		p.secret = s
		p.refused("GET", "api/count", nil, http.StatusUnauthorized, "sign_in")
		p.refused("GET", "api/stream?overview=1", nil, http.StatusUnauthorized, "sign_in")
		p.refused(
			"PUT",
			"api/key",
			map[string]any{"key": b64Std(t.Name()), "value": "", "mod": 0},
			http.StatusUnauthorized,
			"sign_in",
		)
		var me struct{ SignedIn bool }
		if p.get("api/session", &me); me.SignedIn {
			t.Fatalf("signed in with the secret %q", s)
		}
		cookie := p.cookie
		if status := p.call("DELETE", "api/session", nil, nil); status != http.StatusNoContent {
			t.Fatalf("signing out: status %d", status)
		}
		p.cookie = cookie
	}
	if v := value(t, client, t.Name()); v != "<none>" {
		t.Fatalf("it wrote %q", v)
	}
	p.secret = own
	p.get("api/count", nil) // it was not signed out
	other, _ := open(t)
	p.secret = other.secret
	p.refused("GET", "api/count", nil, http.StatusUnauthorized, "sign_in")
	p.cookie, p.secret = nil, own
	p.refused("GET", "api/count", nil, http.StatusUnauthorized, "sign_in")
}

func TestTheSessionEndsWithSigningOut(t *testing.T) {
	p := serve(t, clienttest.Shared(t), console.WithToken(secret))
	p.signIn()
	c := p.cookie
	if c == nil || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || strings.Contains(c.Value, secret) ||
		len(c.Value) < 32 ||
		c.Path != "/" {
		t.Fatalf("cookie %+v", c)
	}
	p.get("api/count", nil)
	if status := p.call("DELETE", "api/session", nil, nil); status != http.StatusNoContent {
		t.Fatalf("signing out: %d", status)
	}
	p.cookie = c // a copy of the cookie
	p.refused("GET", "api/count", nil, http.StatusUnauthorized, "sign_in")
}

func TestAWrongTokenLeadsNowhere(t *testing.T) {
	p := serve(t, clienttest.Shared(t), console.WithToken(secret))
	p.refused("POST", "api/session", map[string]string{"token": "wrong"}, http.StatusUnauthorized, "denied")
	p.refused(
		"POST",
		"api/session",
		map[string]string{"user": "root", "password": secret},
		http.StatusUnauthorized,
		"denied",
	)
	for range 20 {
		p.call("POST", "api/session", map[string]string{"token": "guess"}, nil)
	}
	p.refused("POST", "api/session", map[string]string{"token": "guess"}, http.StatusTooManyRequests, "too_many")
	p.signIn() // guesses by others do not lock out a user with the token
}

// TestAPageThatGuessesLocksNobodyOut: any site can make a browser request an address of the
// console.
func TestAPageThatGuessesLocksNobodyOut(t *testing.T) {
	p := serve(t, clienttest.Shared(t), console.WithToken(secret))
	for _, site := range []string{"cross-site", "same-site"} {
		p.header.Set("Sec-Fetch-Site", site)
		for range 20 {
			resp := p.request(t.Context(), "GET", "?token=guess", nil)
			resp.Body.Close()
			// The page gives the reason: it gets it from the address.
			if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther ||
				to != "/#token-from-another-site" ||
				p.cookie != nil {
				t.Fatalf("status %d to %q, cookie %v", resp.StatusCode, to, p.cookie)
			}
		}
	}
	for range 20 {
		p.refused("POST", "api/session", map[string]string{"token": "guess"}, http.StatusForbidden, "cross_site")
	}
	p.header = http.Header{}
	p.refused(
		"POST",
		"api/session",
		map[string]string{"token": "wrong"},
		http.StatusUnauthorized,
		"denied",
	) // the limit is not reached yet
	p.signIn()
	resp := p.request(t.Context(), "GET", "?token=x", nil)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("a token from the address bar: status %d, %v", resp.StatusCode, resp.Header)
	}
}

// TestBodiesThatDripAreCutOff, whether the handler reads them or not.
func TestBodiesThatDripAreCutOff(t *testing.T) {
	p, _ := open(t)
	var wg sync.WaitGroup
	for name, head := range map[string]string{
		"a page":            "GET / HTTP/1.1\r\n",
		"without a session": "PUT /api/key HTTP/1.1\r\nContent-Type: application/json\r\n",
		"signing in":        "POST /api/session HTTP/1.1\r\nContent-Type: application/json\r\n",
		"in a session": "PUT /api/key HTTP/1.1\r\nContent-Type: application/json\r\nFairlead-Session: " + p.secret +
			"\r\n" +
			"Cookie: " + p.cookie.Name + "=" + p.cookie.Value + "\r\n",
	} {
		wg.Go(func() {
			host := strings.TrimPrefix(p.url, "http://")
			conn, err := net.Dial("tcp", host)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			begin := time.Now()
			if _, err := io.WriteString(conn, head+"Host: "+host+"\r\nContent-Length: 10000\r\n\r\n"); err != nil {
				t.Error(err)
				return
			}
			gone := make(chan struct{})
			go func() { // the server has closed the connection once there is nothing more to read
				defer close(gone)
				_, _ = io.Copy(io.Discard, conn)
			}()
			tick := time.NewTicker(200 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-gone:
					return
				case <-tick.C:
					_, _ = conn.Write([]byte(" "))
				}
				if time.Since(begin) > clienttest.Long {
					t.Errorf("%s: the connection is there after %v", name, time.Since(begin))
					return
				}
			}
		})
	}
	wg.Wait()
	p.get("api/count", nil)
}

// TestOneUserDoesNotTakeWhatOthersNeed: sessions and streams are both bounded.
func TestOneUserDoesNotTakeWhatOthersNeed(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	client := clienttest.Dial(t, cluster.Endpoints()...)
	withUsers(t, client)
	p := serve(
		t,
		client,
		console.WithLogin(
			console.EtcdLogin(clientv3.Config{Endpoints: cluster.Endpoints(), Logger: client.GetLogger()}),
		),
	)
	root := map[string]string{"user": "root", "password": "r"}
	p.signInWith(root)
	rootCookie, rootSecret := p.cookie, p.secret
	for range 80 {
		p.signInWith(map[string]string{"user": "ann", "password": "a"})
	}
	ann, annSecret := p.cookie, p.secret
	p.cookie, p.secret = rootCookie, rootSecret
	p.get("api/session", nil)
	p.get("api/count", nil)

	p.cookie, p.secret = ann, annSecret
	open := 0
	for ; open < 300; open++ {
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		resp := p.request(ctx, "GET", "api/stream?overview=1", nil)
		t.Cleanup(func() { resp.Body.Close() })
		if resp.StatusCode != http.StatusOK {
			break
		}
	}
	if open == 300 {
		t.Fatal("one user has 300 streams")
	}
	p.refused("GET", "api/stream?overview=1", nil, http.StatusTooManyRequests, "too_many")
	p.cookie, p.secret = rootCookie, rootSecret
	events, stop := p.listen("api/stream?overview=1")
	defer stop()
	clienttest.Receive(t, "an event for root", events)
}

func TestOtherNamesAreRefused(t *testing.T) {
	p, _ := open(t, console.WithHosts("Console.Example.Org"))
	for host, want := range map[string]int{
		"localhost:1": 200, "[::1]:80": 200, "127.0.0.1": 200, "console.example.org:2389": 200,
		"console.example.org.": 200,
		"evil.example":         421, "localhost.evil.example": 421, "127.0.0.1.evil.example:80": 421,
	} {
		p.header.Set("Host", host)
		for _, path := range []string{"", "api/count", "js/main.js"} {
			if status := p.call("GET", path, nil, nil); status != want {
				t.Errorf("%s as %s: status %d", path, host, status)
			}
		}
	}
}

func TestRequestsOfOtherSitesAreRefused(t *testing.T) {
	p, client := open(t)
	key := map[string]any{"key": b64Std(t.Name()), "value": "", "mod": 0}
	for name, header := range map[string]http.Header{
		"another site":        {"Sec-Fetch-Site": {"cross-site"}},
		"another port":        {"Sec-Fetch-Site": {"same-site"}},
		"another origin":      {"Origin": {"https://evil.example"}},
		"another port, old":   {"Origin": {"http://127.0.0.1:1"}},
		"an opaque origin":    {"Origin": {"null"}},
		"site before origin":  {"Sec-Fetch-Site": {"cross-site"}, "Origin": {p.url}},
		"a broken origin":     {"Origin": {"http://%"}},
		"a name that is near": {"Origin": {p.url + ".evil.example"}},
	} {
		p.header = header
		p.refused("GET", "api/count", nil, http.StatusForbidden, "cross_site")
		p.refused("GET", "api/stream?overview=1", nil, http.StatusForbidden, "cross_site")
		p.refused("PUT", "api/key", key, http.StatusForbidden, "cross_site")
		p.refused("POST", "api/session", map[string]string{"token": secret}, http.StatusForbidden, "cross_site")
		if v := value(t, client, t.Name()); v != "<none>" {
			t.Fatalf("%s wrote %q", name, v)
		}
	}
	for _, header := range []http.Header{
		{"Sec-Fetch-Site": {"same-origin"}, "Origin": {p.url}}, {"Sec-Fetch-Site": {"none"}}, {},
	} {
		p.header = header
		p.get("api/count", nil)
	}
	// Any site can send a form; the API accepts none of a form's types.
	p.header = http.Header{}
	r, err := http.NewRequestWithContext(
		t.Context(),
		"POST",
		p.url+"/api/delete",
		strings.NewReader(`{"key":"YQ==","revision":1}`),
	)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/plain")
	r.AddCookie(p.cookie)
	r.Header.Set("Fairlead-Session", p.secret)
	resp, err := p.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Fatalf("a form: status %d", resp.StatusCode)
	}
}

func TestHeadersOfEverything(t *testing.T) {
	p, _ := open(t)
	for _, path := range []string{
		"", "style.css", "js/main.js", "api/count", "api/session", "none", "api/none", "?token=x",
	} {
		resp := p.request(t.Context(), "GET", path, nil)
		resp.Body.Close()
		h := resp.Header
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src " +
			"'self'", "connect-src 'self'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"} {
			if !strings.Contains(h.Get("Content-Security-Policy"), part) {
				t.Errorf("%s: policy %q lacks %s", path, h.Get("Content-Security-Policy"), part)
			}
		}
		if strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: policy %q", path, h.Get("Content-Security-Policy"))
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" ||
			h.Get("Cross-Origin-Resource-Policy") != "same-origin" ||
			h.Get("Cross-Origin-Opener-Policy") != "same-origin" ||
			h.Get("Cache-Control") == "" {
			t.Errorf("%s: headers %v", path, h)
		}
	}
}

func TestReadOnly(t *testing.T) {
	p, client := open(t, console.WithReadOnly())
	key := t.Name()
	rev := put(t, client, key, "v")
	p.refused(
		"PUT",
		"api/key",
		map[string]any{"key": b64Std(key), "value": "", "mod": rev},
		http.StatusForbidden,
		"read_only",
	)
	p.refused(
		"POST",
		"api/delete",
		map[string]any{"key": b64Std(key), "revision": rev},
		http.StatusForbidden,
		"read_only",
	)
	for _, path := range []string{
		"services/control", "leases/grant", "leases/keepalive", "leases/revoke", "locks/release", "import", "access",
		"access/plan",
	} {
		p.refused("POST", "api/"+path, map[string]any{}, http.StatusForbidden, "read_only")
	}
	p.refused("POST", "api/services/remove", map[string]any{}, http.StatusForbidden, "read_only")
	if v := value(t, client, key); v != "v" {
		t.Fatalf("the key is %q", v)
	}
	var me struct{ ReadOnly bool }
	p.get("api/session", &me)
	if !me.ReadOnly {
		t.Fatal("the session does not say that it is read-only")
	}
}

func TestOpenNeedsNoSession(t *testing.T) {
	p := serve(t, clienttest.Shared(t), console.WithOpenAccess())
	p.get("api/count", nil)
	p.header.Set("Sec-Fetch-Site", "cross-site")
	p.refused("GET", "api/count", nil, http.StatusForbidden, "cross_site")
}

func TestMountedBelowAPath(t *testing.T) {
	c, err := console.New(clienttest.Shared(t), console.WithToken(secret), console.WithBasePath("/tools/etcd"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	mux := http.NewServeMux()
	mux.Handle("/tools/etcd/", c)
	s := httptest.NewServer(mux)
	defer s.Close()
	p := &page{
		t:   t,
		url: s.URL + "/tools/etcd",
		client: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		header: http.Header{},
	}
	defer p.client.CloseIdleConnections()
	p.signIn()
	if p.cookie.Path != "/tools/etcd/" {
		t.Fatalf("the cookie is for %s", p.cookie.Path)
	}
	p.get("api/count", nil)
	if status := p.call("GET", "js/main.js", nil, nil); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	p, _ := open(t)
	first, firstSecret := p.cookie, p.secret
	for range 32 {
		p.signIn()
	}
	p.get("api/count", nil)
	p.cookie, p.secret = first, firstSecret
	p.refused("GET", "api/count", nil, http.StatusUnauthorized, "sign_in")
}

func TestFiles(t *testing.T) {
	p, _ := open(t)
	resp := p.request(t.Context(), "GET", "", nil)
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") ||
		!strings.Contains(string(text), "<title>Fairlead</title>") {
		t.Fatalf("%v: %.100q", err, text)
	}
	// A page that names another host would load from there; the policy forbids that, so the page
	// should not try.
	if strings.Contains(string(text), "://") {
		t.Fatal("the page refers to another host")
	}
	p.header.Set("If-None-Match", resp.Header.Get("ETag"))
	if status := p.call("GET", "", nil, nil); status != http.StatusNotModified {
		t.Fatalf("an unchanged page: status %d", status)
	}
	for _, path := range []string{"../console.go", "js", "web/index.html", "js/..%2f..%2fconsole.go"} {
		if status := p.call("GET", path, nil, nil); status == http.StatusOK {
			t.Errorf("%s is served", path)
		}
	}
	if status := p.call("POST", "index.html", nil, nil); status == http.StatusOK {
		t.Error("a file takes a POST")
	}
}

func TestLargeBodiesAreRefused(t *testing.T) {
	p, _ := open(t)
	p.refused(
		"PUT",
		"api/key",
		map[string]any{"key": b64Std(t.Name()), "value": strings.Repeat("A", 5<<20), "mod": 0},
		http.StatusRequestEntityTooLarge,
		"too_large",
	)
	p.refused("PUT", "api/key", map[string]any{"other": 1}, http.StatusBadRequest, "bad_request")
	p.refused("GET", "api/tree?prefix=*", nil, http.StatusBadRequest, "bad_request")
	p.refused("GET", "api/tree?limit=-1", nil, http.StatusBadRequest, "bad_request")
}
