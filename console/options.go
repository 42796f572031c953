package console

import (
	"context"
	"crypto/tls"
	"net"
	"strings"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Option says how a console is to be.
type Option func(*Console)

// ReadOnly refuses everything that changes something in etcd.
func ReadOnly() Option { return func(c *Console) { c.readOnly = true } }

// Token lets in whoever knows a secret, for instance by a URL with ?token=SECRET, unless a link of
// another site leads there. The secret should be random and have 16 bytes or more. The empty string
// is no token.
func Token(secret string) Option { return func(c *Console) { c.token = secret } }

// LoginFunc checks a user's name and password and returns a client for what that user does. The
// console closes the client when the session ends. EtcdLogin makes one.
type LoginFunc func(ctx context.Context, user, password string) (*clientv3.Client, error)

// Login lets in users with a name and a password, each with a client of their own.
func Login(f LoginFunc) Option { return func(c *Console) { c.login = f } }

// Open lets in everybody who reaches the console, for programs that guard it themselves. Host names
// and the origin of requests are checked nevertheless.
func Open() Option { return func(c *Console) { c.open = true } }

// Hosts adds names and addresses that the console answers to, without ports. The loopback names
// (localhost, 127.0.0.1, ::1) need not be given.
func Hosts(names ...string) Option {
	return func(c *Console) {
		for _, n := range names {
			c.hosts[hostName(n)] = true
		}
	}
}

// BasePath is where the console is mounted, "/" if not given. Paths that begin otherwise are not
// found.
func BasePath(path string) Option {
	return func(c *Console) {
		c.base = "/" + strings.Trim(path, "/") + "/"
		c.base = strings.Replace(c.base, "//", "/", 1)
	}
}

// Metrics lets the console read the members' metrics, which they serve where their clients connect:
// for the requests that the overview draws, and for what is said of disks, elections, clocks and
// certificates. It connects with TLS if secure is not nil, as the client does. Without Metrics none
// of that is looked at.
func Metrics(secure *tls.Config) Option {
	return func(c *Console) { c.metrics, c.secure = true, secure }
}

// History keeps the overview's past in a file, so that a console which is started anew goes on with
// it. The file is made if it is not there, written once a minute and by Close, and belongs to one
// console; New fails if it cannot be read or written. The past of another cluster is forgotten.
// Without History the past is that since the console's start.
func History(file string) Option { return func(c *Console) { c.history = file } }

// hostName is a Host header's name in the form in which names are compared.
func hostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
}
