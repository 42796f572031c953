// Package site tells requests of a server's own pages and of programs from those that other sites
// cause in a browser.
package site

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Foreign reports whether another site caused a request. Browsers say so in a header. Other
// programs do not, and have no cookies to be abused either. Another port of this host is another
// site: cookies do not distinguish ports.
func Foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host)
}

// HostName returns the name in a Host header, without a port, in the form in which names are
// compared.
func HostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}
