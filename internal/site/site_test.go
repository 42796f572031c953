package site

import (
	"net/http/httptest"
	"testing"
)

func TestForeign(t *testing.T) {
	for name, c := range map[string]struct {
		fetch, origin string
		want          bool
	}{
		"a program":              {"", "", false},
		"its own page":           {"same-origin", "http://here:80", false},
		"typed by a user":        {"none", "", false},
		"its own page, old":      {"", "http://HERE:80", false},
		"another site":           {"cross-site", "", true},
		"another port":           {"same-site", "", true},
		"another port, old":      {"", "http://here:81", true},
		"a file or a frame":      {"", "null", true},
		"an origin that is none": {"", "http://[", true},
	} {
		r := httptest.NewRequest("GET", "http://here:80/", nil)
		r.Host = "here:80"
		r.Header.Set("Sec-Fetch-Site", c.fetch)
		r.Header.Set("Origin", c.origin)
		if got := Foreign(r); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestHostName(t *testing.T) {
	for host, want := range map[string]string{
		"Example.com:80": "example.com", "example.com.": "example.com", "[::1]:80": "::1", "[::1]": "::1",
		"10.0.0.1": "10.0.0.1", "": "",
	} {
		if got := HostName(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}
