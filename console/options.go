package console

import (
	"context"
	"crypto/tls"
	"strings"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/site"
)

// Option changes how a [Console] works.
type Option func(*Console)

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
func WithLogin(f LoginFunc) Option { return func(c *Console) { c.login = f } }

// WithOpenAccess admits everybody who can reach the console, for programs that control access
// themselves. Host names and the origin of requests are checked nevertheless.
func WithOpenAccess() Option { return func(c *Console) { c.open = true } }

// WithHosts adds names and addresses, without ports, under which the console answers. The loopback
// names (localhost, 127.0.0.1, ::1) are always allowed.
func WithHosts(names ...string) Option {
	return func(c *Console) {
		for _, n := range names {
			c.hosts[site.HostName(n)] = true
		}
	}
}

// WithBasePath sets the path at which the console is mounted, "/" by default. Paths outside of it
// are not found.
func WithBasePath(path string) Option {
	return func(c *Console) {
		c.base = "/" + strings.Trim(path, "/") + "/"
		c.base = strings.Replace(c.base, "//", "/", 1)
	}
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
func WithHistory(file string) Option { return func(c *Console) { c.history = file } }
