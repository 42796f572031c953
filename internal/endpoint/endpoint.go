// Package endpoint parses the endpoint strings that etcd users write and brings
// them into one form.
//
// Accepted are
//
//	host:port  [v6]:port             TLS if the client has a TLS configuration
//	http://host:port                 never TLS
//	https://host:port                always TLS
//	unix:///path  unix://name  unix:name    a unix socket, TLS as for host:port
//	unixs:///path unixs://name unixs:name   a unix socket, always TLS
//
// The names and meanings of the schemes are those of etcd's --endpoints flag
// (https://etcd.io/docs/v3.6/op-guide/configuration/).
package endpoint

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// Security says whether an endpoint asks for TLS.
type Security uint8

const (
	Optional Security = iota // TLS when the client has a TLS configuration
	Plain                    // never TLS
	Secure                   // always TLS
)

// Endpoint is one parsed endpoint string.
type Endpoint struct {
	Raw      string // as the user wrote it
	Network  string // "tcp" or "unix"
	Addr     string // "host:port", or the path of the socket
	At       string // "ip:port", one of the addresses of the name in Addr; usually empty: any of them
	Security Security
}

// ErrNone is returned by ParseAll for an empty list.
var ErrNone = errors.New("no endpoints given")

// Parse parses one endpoint. The error names the string and what is wrong.
func Parse(raw string) (Endpoint, error) {
	e := Endpoint{Raw: raw, Network: "tcp"}
	if wrong := e.parse(raw); wrong != "" {
		return Endpoint{}, fmt.Errorf("endpoint %q: %s", raw, wrong)
	}
	return e, nil
}

// parse returns what is wrong with raw; "": nothing.
func (e *Endpoint) parse(raw string) (wrong string) {
	if raw == "" {
		return "is empty"
	}
	if strings.TrimSpace(raw) != raw || strings.ContainsAny(raw, " \t\r\n\x00") {
		return "contains white space or control characters"
	}
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		scheme, rest = "", raw
		for _, s := range []string{"unix", "unixs"} {
			if path, ok := strings.CutPrefix(raw, s+":"); ok {
				scheme, rest = s, path
			}
		}
	}
	switch scheme {
	case "":
	case "http":
		e.Security = Plain
	case "https", "unixs":
		e.Security = Secure
	case "unix":
	default:
		return "unknown scheme " + strconv.Quote(scheme) + ", want http, https, unix or unixs"
	}
	if scheme == "unix" || scheme == "unixs" {
		if rest == "" {
			return "the path of the socket is missing"
		}
		e.Network, e.Addr = "unix", rest
		return ""
	}
	rest = strings.TrimSuffix(rest, "/")
	if strings.ContainsAny(rest, "/?#") {
		return "has a path or query; only host and port are used"
	}
	if strings.Contains(rest, "@") {
		return "carries user information; use Username and Password"
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		var ae *net.AddrError
		if errors.As(err, &ae) {
			return ae.Err
		}
		return err.Error()
	}
	if host == "" {
		return "the host is missing"
	}
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			return strconv.Quote(host) + " is not an IPv6 address"
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return strconv.Quote(port) + " is not a port number"
	}
	e.Addr = net.JoinHostPort(host, port)
	return ""
}

// ParseAll parses a client's whole list. An empty list is ErrNone; endpoints
// that demand TLS cannot be mixed with endpoints that forbid it, because one of
// the two would be silently contacted the wrong way. Repeated endpoints are
// kept once.
func ParseAll(raw []string) ([]Endpoint, error) {
	if len(raw) == 0 {
		return nil, ErrNone
	}
	var plain, secure string
	list := make([]Endpoint, 0, len(raw))
	seen := make(map[Endpoint]bool, len(raw))
	for _, r := range raw {
		e, err := Parse(r)
		if err != nil {
			return nil, err
		}
		switch e.Security {
		case Plain:
			plain = r
		case Secure:
			secure = r
		}
		key := e
		key.Raw = ""
		if !seen[key] {
			seen[key] = true
			list = append(list, e)
		}
	}
	if plain != "" && secure != "" {
		return nil, fmt.Errorf("endpoints mix TLS and plain text: %q and %q", secure, plain)
	}
	return list, nil
}

// Target returns the address in the form that a dialer gets: "host:port" or "unix:path".
func (e Endpoint) Target() string {
	if e.Network != "unix" {
		return e.Addr
	}
	if strings.HasPrefix(e.Addr, "/") {
		return "unix://" + e.Addr
	}
	return "unix:" + e.Addr
}

// Name returns the host if it has to be looked up, else "".
func (e Endpoint) Name() string {
	host := e.ServerName()
	if _, err := netip.ParseAddr(host); err == nil || e.Network == "unix" {
		return ""
	}
	return host
}

// AtAddress returns e with one of the addresses of its name. Certificates are still checked against
// the name.
func (e Endpoint) AtAddress(a netip.Addr) Endpoint {
	_, port, _ := net.SplitHostPort(e.Addr)
	e.At = net.JoinHostPort(a.String(), port)
	e.Raw = strings.Replace(e.Raw, e.Addr, e.At, 1)
	return e
}

// Authority returns the :authority header of calls to the endpoint, as gRPC forms it: host:port,
// and for a socket the last element of its path.
func (e Endpoint) Authority() string {
	if e.Network == "unix" {
		return path.Base(e.Addr)
	}
	return e.Addr
}

// ServerName returns the name for which a TLS certificate must be valid unless the client's
// configuration sets another: the host. For a socket that is the host if its name is host:port,
// else "localhost".
func (e Endpoint) ServerName() string {
	host, _, err := net.SplitHostPort(e.Authority())
	if e.Network == "unix" && (err != nil || host == "") {
		return "localhost"
	}
	return host
}

// SplitTarget is the inverse of Target: the network and address to dial.
func SplitTarget(target string) (network, addr string) {
	if rest, ok := strings.CutPrefix(target, "unix:"); ok {
		if abs, ok := strings.CutPrefix(rest, "//"); ok {
			return "unix", abs
		}
		return "unix", rest
	}
	return "tcp", target
}
