package agent

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/clienttest"
)

// Each kind of access may do what it should and no more, and tokens are in no answer and no log.
func TestAccess(t *testing.T) {
	client := clienttest.Shared(t)
	r := start(t, client, nil)
	s := t.Name()
	const body = `{"addresses":["10.0.0.1:80"]}`
	reader, wrong := "only-for-reading-0123", "wrong-token-0123456789"
	var answers bytes.Buffer
	try := func(status int, method, path, body, token string, header ...string) {
		t.Helper()
		r.token = token
		got, text := r.call(method, path, body, header...)
		if answers.WriteString(text); got != status {
			t.Errorf("%s %s with %q: %d %s, want %d", method, path, token, got, text, status)
		}
	}
	for _, w := range []struct{ method, path, body string }{
		{"PUT", "", body}, {"POST", "/renew", ""}, {"POST", "/drain", ""}, {"DELETE", "", ""},
	} {
		try(401, w.method, instance(s, "one")+w.path, w.body, "")
		try(401, w.method, instance(s, "one")+w.path, w.body, wrong)
		try(403, w.method, instance(s, "one")+w.path, w.body, reader)
		try(403, w.method, instance("other", "one")+w.path, w.body, secret)
	}
	try(201, "PUT", instance(s, "one"), body, secret)
	try(200, "GET", "/v1/services/"+s, "", "")
	try(200, "GET", "/v1/services/"+s, "", reader)
	try(401, "GET", "/v1/services/"+s, "", wrong)
	try(401, "GET", "/v1/services/"+s, "", "", "Authorization", "Basic "+secret)
	try(421, "GET", "/v1/services/"+s, "", "", "Host", "evil.example.com")
	try(421, "DELETE", instance(s, "one"), "", secret, "Host", "evil.example.com:80")
	try(403, "DELETE", instance(s, "one"), "", secret, "Origin", "http://evil.example.com")
	try(403, "DELETE", instance(s, "one"), "", secret, "Origin", "null")
	try(403, "GET", "/v1/services/"+s, "", secret, "Sec-Fetch-Site", "cross-site")
	r.doc.wrong = true
	try(415, "PUT", instance(s, "one"), body, secret, "Content-Type", "text/plain")
	r.doc.wrong = false
	try(204, "DELETE", instance(s, "one"), "", secret)
	if text := answers.String() + r.log(); strings.Contains(text, secret) || strings.Contains(text, wrong) ||
		strings.Contains(text, reader) {
		t.Errorf("a token leaks: %s", text)
	}
}

// Bad files of tokens are refused, and changes are noticed.
func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for text, mode := range map[string]os.FileMode{"": 0o600, "# none\n": 0o600, "short-secret x\n": 0o600, secret +
		" x\n" + secret + " y": 0o600, secret + " x": 0o644, secret + " y": 0o620} {
		write(text, mode)
		_, err := openTokens(path, nil)
		if err == nil {
			t.Errorf("%q with %o is taken", text, mode)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("a token leaks: %v", err)
		}
	}
	write(secret+" one", 0o600)
	var said []string
	all, err := openTokens(path, func(line string) { said = append(said, line) })
	if err != nil {
		t.Fatal(err)
	}
	allows := func(service string) bool {
		all.mu.Lock()
		all.looked = time.Time{} // a second has passed
		all.mu.Unlock()
		g, ok := all.find(secret)
		return ok && g.allows(service)
	}
	if !allows("one") || allows("two") || allows("") {
		t.Error("it allows other services than its own")
	}
	write(secret+" two-* ", 0o600)
	if allows("one") || !allows("two-x") || allows("two") {
		t.Error("a change was not noticed")
	}
	write("short", 0o600)
	for range 3 {
		if !allows("two-x") {
			t.Error("a bad file took all tokens away")
		}
	}
	if len(said) != 1 || strings.Contains(said[0], secret) {
		t.Errorf("it said %q", said)
	}
}

// Only this user can connect to the socket, and writes through it need no token.
func TestSocket(t *testing.T) {
	client := clienttest.Shared(t)
	path := filepath.Join(t.TempDir(), "agent.sock")
	only := func(o *Options) { o.HTTP, o.TokenFile, o.Socket = "", "", path }
	r := start(t, client, only)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if _, err := Listen(client, r.agent.o); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second agent on the same socket: %v", err)
	}
	r.base, r.token = "http://localhost", ""
	r.http.Transport = &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}
	r.want(201, nil, "PUT", instance(t.Name(), "one"), `{"addresses":["10.0.0.1:80"]}`)
	r.want(204, nil, "DELETE", instance(t.Name(), "one"), "")
	r.stop()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{}, {DNS: "nowhere"}, {DNS: ":53"}, {DNS: "10.0.0.1:53"}, {HTTP: "nowhere"}, {HTTP: ":80"},
		{HTTP: "0.0.0.0:80", TokenFile: "x"},
		{HTTP: "0.0.0.0:80", Cert: "x", Key: "x"}, {HTTP: "127.0.0.1:80", Cert: "x"}, {PrometheusFile: "x"},
		{HTTP: "127.0.0.1:80", PrometheusServices: []string{"x"}},
		{PrometheusFile: "x", Base: "/x/", PrometheusServices: []string{""}}, {DNS: "127.0.0.1:53", TokenFile: "x"},
	} {
		if o.Check() == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	open := Options{DNS: ":53", HTTP: "[::1]:80", Socket: "x"}
	open.Answers.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	if err := open.Check(); err != nil {
		t.Error(err)
	}
}
