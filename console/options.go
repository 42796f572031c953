package console

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/site"
)

// Option changes how a [Console] works. One that makes no sense is an error of [New].
type Option func(*Console)

// mistaken notes an option that makes no sense.
func (c *Console) mistaken(option, format string, args ...any) {
	c.mistakes = append(c.mistakes, fmt.Errorf("console: "+option+": "+format, args...))
}

// check returns what is wrong with what New was given.
func (c *Console) check() error {
	if c.client == nil {
		return errors.New("console: the client is nil")
	}
	if c.open && (c.token != "" || c.login != nil) {
		c.mistaken("WithOpenAccess", "it admits everybody, so WithToken and WithLogin beside it would protect nothing")
	}
	if err := errors.Join(c.mistakes...); err != nil {
		return err
	}
	if !c.open && c.token == "" && c.login == nil {
		return ErrNoWayIn
	}
	return nil
}

// WithReadOnly refuses everything that changes something in etcd.
func WithReadOnly() Option { return func(c *Console) { c.readOnly = true } }

// WithToken admits everybody who has a secret, for example through a URL with ?token=SECRET, unless
// the link to it is on another site. The secret should be random and have 16 bytes or more. The
// empty string means no token.
func WithToken(secret string) Option { return func(c *Console) { c.token = secret } }

// LoginFunc checks a user's name and password and returns a client for that user's requests. The
// console closes the client when the session ends. [EtcdLogin] makes one.
type LoginFunc func(ctx context.Context, user, password string) (*clientv3.Client, error)

// WithLogin admits users with a name and a password, each with a client of their own.
func WithLogin(f LoginFunc) Option {
	return func(c *Console) {
		if f == nil {
			c.mistaken("WithLogin", "the function is nil")
		}
		c.login = f
	}
}

// WithOpenAccess admits everybody who can reach the console, for programs that control access
// themselves. Host names and the origin of requests are checked nevertheless.
func WithOpenAccess() Option { return func(c *Console) { c.open = true } }

// WithHosts adds names and addresses under which the console answers, at every port. The loopback
// names (localhost, 127.0.0.1, ::1) are always allowed. There are no patterns.
func WithHosts(names ...string) Option {
	return func(c *Console) {
		for _, n := range names {
			name := site.HostName(n)
			if strings.Contains(n, "/") || !isHost(name) {
				c.mistaken("WithHosts", "%q is neither a name nor an address of a host", n)
			}
			c.hosts[name] = true
		}
	}
}

// hostNames are as browsers send them, in lower case: they encode other alphabets in ASCII.
var hostNames = regexp.MustCompile(`^[a-z0-9._-]+$`)

func isHost(name string) bool { return net.ParseIP(name) != nil || hostNames.MatchString(name) }

// WithBasePath sets the path at which the console is mounted, "/" by default. Paths outside of it
// are not found. It begins with a slash, and needs no escapes in a URL. A slash at its end changes
// nothing.
func WithBasePath(base string) Option {
	return func(c *Console) {
		if !isBase(base) {
			c.mistaken("WithBasePath", "%q is not a path such as /etcd", base)
		}
		c.base = strings.TrimSuffix(base, "/") + "/"
	}
}

// isBase reports whether a path can be the beginning of URLs and of cookies' paths: servers and
// browsers would change any other, so that its pages would not be found.
func isBase(p string) bool {
	clean := path.Clean(p)
	return strings.HasPrefix(p, "/") && (p == clean || p == clean+"/" && clean != "/") &&
		(&url.URL{Path: p}).EscapedPath() == p && !strings.ContainsAny(p, ";,")
}

// WithMetrics lets the console read the members' metrics, which they serve at their client
// addresses, for the requests in the overview, and for findings about disks, elections, clocks and
// certificates. It connects with TLS if secure is not nil, as the client does. Without this option
// the console shows none of these.
func WithMetrics(secure *tls.Config) Option {
	return func(c *Console) { c.metrics, c.secure = true, secure }
}

// WithHistory keeps the overview's past in a file, so that a restarted console continues it. The
// file is created if it does not exist, written once a minute and by Close, and used by one console
// only; [New] fails if it cannot be read or written. The past of another cluster is dropped.
// Without this option the past begins with the console.
func WithHistory(file string) Option {
	return func(c *Console) {
		if file == "" {
			c.mistaken("WithHistory", "the file has no name")
		}
		c.history = file
	}
}
