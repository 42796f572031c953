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

// WithToken lets in everybody who knows a secret, for instance by a URL with ?token=SECRET, unless
// a link of another site leads there. The secret should be random and have 16 bytes or more. The
// empty string is no token.
func WithToken(secret string) Option { return func(c *Console) { c.token = secret } }

// LoginFunc checks a user's name and password and returns a client for what that user does. The
// console closes the client when the session ends. [EtcdLogin] makes one.
type LoginFunc func(ctx context.Context, user, password string) (*clientv3.Client, error)

// WithLogin lets in users with a name and a password, each with a client of their own.
func WithLogin(f LoginFunc) Option { return func(c *Console) { c.login = f } }

// WithOpenAccess lets in everybody who reaches the console, for programs that guard it themselves.
// Host names and the origin of requests are checked nevertheless.
func WithOpenAccess() Option { return func(c *Console) { c.open = true } }

// WithHosts adds names and addresses that the console answers to, without ports. The loopback names
// (localhost, 127.0.0.1, ::1) need not be given.
func WithHosts(names ...string) Option {
	return func(c *Console) {
		for _, n := range names {
			c.hosts[site.HostName(n)] = true
		}
	}
}

// WithBasePath is where the console is mounted, "/" if not given. Paths that begin otherwise are
// not found.
func WithBasePath(path string) Option {
	return func(c *Console) {
		c.base = "/" + strings.Trim(path, "/") + "/"
		c.base = strings.Replace(c.base, "//", "/", 1)
	}
}

// WithMetrics lets the console read the members' metrics, which they serve where their clients
// connect: for the requests that the overview draws, and for findings about disks, elections,
// clocks and certificates. It connects with TLS if secure is not nil, as the client does. Without
// it the console looks at none of that.
func WithMetrics(secure *tls.Config) Option {
	return func(c *Console) { c.metrics, c.secure = true, secure }
}

// WithHistory keeps the overview's past in a file, so that a console which is started again goes on
// with it. The file is made if it is not there, written once a minute and by Close, and belongs to
// one console; [New] fails if it cannot be read or written. The past of another cluster is
// forgotten. Without it the past begins with the console.
func WithHistory(file string) Option { return func(c *Console) { c.history = file } }
