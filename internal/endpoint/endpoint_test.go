package endpoint

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		raw, network, addr, target, name string
		sec                              Security
	}{
		{"localhost:2379", "tcp", "localhost:2379", "localhost:2379", "localhost", Optional},
		{"127.0.0.1:2379", "tcp", "127.0.0.1:2379", "127.0.0.1:2379", "127.0.0.1", Optional},
		{"[::1]:2379", "tcp", "[::1]:2379", "[::1]:2379", "::1", Optional},
		{"http://etcd:2379", "tcp", "etcd:2379", "etcd:2379", "etcd", Plain},
		{"http://etcd:2379/", "tcp", "etcd:2379", "etcd:2379", "etcd", Plain},
		{"https://[::1]:2379", "tcp", "[::1]:2379", "[::1]:2379", "::1", Secure},
		{"unix:///run/etcd.sock", "unix", "/run/etcd.sock", "unix:///run/etcd.sock", "localhost", Optional},
		{"unix://localhost:m0", "unix", "localhost:m0", "unix:localhost:m0", "localhost", Optional},
		{"unix:etcd.sock", "unix", "etcd.sock", "unix:etcd.sock", "localhost", Optional},
		{"unixs://127.0.0.1:m0", "unix", "127.0.0.1:m0", "unix:127.0.0.1:m0", "127.0.0.1", Secure},
		{"unixs:///run/etcd.sock", "unix", "/run/etcd.sock", "unix:///run/etcd.sock", "localhost", Secure},
	} {
		e, err := Parse(c.raw)
		if c.network == "" {
			if err == nil {
				t.Errorf("Parse(%q) = %+v, want an error", c.raw, e)
			}
			continue
		}
		if err != nil {
			t.Errorf("Parse(%q): %v", c.raw, err)
			continue
		}
		if e.Network != c.network || e.Addr != c.addr || e.Security != c.sec || e.Target() != c.target ||
			e.ServerName() != c.name {
			t.Errorf("Parse(%q) = %+v target %q name %q", c.raw, e, e.Target(), e.ServerName())
		}
		if n, a := SplitTarget(e.Target()); n != e.Network || a != e.Addr {
			t.Errorf("SplitTarget(%q) = %q, %q", e.Target(), n, a)
		}
	}
}

func TestAuthorityIsWhatGRPCForms(t *testing.T) {
	for raw, want := range map[string]string{
		"localhost:2379":        "localhost:2379",
		"http://127.0.0.1:2379": "127.0.0.1:2379",
		"https://[::1]:2379/":   "[::1]:2379",
		"unix:///run/etcd.sock": "etcd.sock",
		"unixs:run/etcd.sock":   "etcd.sock",
		"unix://localhost:m0":   "localhost:m0",
	} {
		if e, err := Parse(raw); err != nil || e.Authority() != want {
			t.Errorf("authority of %q: %q, %v; want %q", raw, e.Authority(), err, want)
		}
	}
}

func TestParseNamesTheBadEndpoint(t *testing.T) {
	for raw, want := range map[string]string{
		"":                       "empty",
		" localhost:2379":        "white space",
		"localhost":              "missing port",
		"http://localhost":       "missing port",
		"ftp://localhost:1":      "unknown scheme",
		"::1:2379":               "too many colons",
		"localhost:port":         "not a port",
		"localhost:0":            "not a port",
		"localhost:65536":        "not a port",
		":2379":                  "host is missing",
		"http://a:1/v2":          "path or query",
		"http://user:pw@host:80": "user information",
		"unix://":                "path of the socket",
		"[zz::1]:80":             "not an IPv6",
	} {
		_, err := Parse(raw)
		if err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), fmt.Sprintf("%q", raw)) {
			t.Errorf("Parse(%q): %v; want it to name the endpoint and %q", raw, err, want)
		}
	}
}

func TestParseAll(t *testing.T) {
	if _, err := ParseAll(nil); !errors.Is(err, ErrNone) {
		t.Errorf("empty list: %v", err)
	}
	if _, err := ParseAll([]string{"http://a:1", "https://b:1"}); err == nil || !strings.Contains(err.Error(), "mix") {
		t.Errorf("mixed list: %v", err)
	}
	l, err := ParseAll([]string{"a:1", "b:1", "a:1"})
	if err != nil || len(l) != 2 {
		t.Errorf("got %v, %v; want the repeated endpoint once", l, err)
	}
	if _, err := ParseAll([]string{"a:1", "nonsense"}); err == nil {
		t.Error("one bad endpoint must fail the list")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a:1", "http://[::1]:2", "unix:///x", "https://a:b@c:1/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		e, err := Parse(raw)
		if err != nil {
			return
		}
		if n, a := SplitTarget(e.Target()); n != e.Network || a != e.Addr {
			t.Fatalf("Parse(%q) = %+v does not survive Target: %q %q", raw, e, n, a)
		}
	})
}

func ExampleParse() {
	e, err := Parse("https://[::1]:2379")
	fmt.Println(e.Network, e.Addr, e.Security == Secure, err)
	// Output: tcp [::1]:2379 true <nil>
}
