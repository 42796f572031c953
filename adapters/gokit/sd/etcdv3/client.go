package etcdv3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
)

var (
	// ErrNoKey indicates a client method needs a key but receives none.
	ErrNoKey = errors.New("no key provided")

	// ErrNoValue indicates a client method needs a value but receives none.
	ErrNoValue = errors.New("no value provided")
)

// Client is what Instancer and Registrar need of etcd.
type Client interface {
	// GetEntries returns the values of all keys with the prefix.
	GetEntries(prefix string) ([]string, error)

	// WatchPrefix sends on ch at once, and then for every change of a key with the prefix,
	// until the context of NewClient ends. Changes that come faster than they are received
	// may share a signal.
	WatchPrefix(prefix string, ch chan struct{})

	// Register puts the service's key and keeps it there until Deregister. It takes over a key of
	// that name from another process.
	Register(s Service) error

	// Deregister removes the service's key, if it is still this client's.
	Deregister(s Service) error

	// LeaseID returns the lease of the service that was registered last, 0 if there is none.
	LeaseID() int64
}

// ClientOptions are the options of [NewClient]. All are optional.
type ClientOptions struct {
	Cert   string // file with a client certificate, in PEM; needs Key
	Key    string // file with its key
	CACert string // file with the certificate authorities of the servers; works alone too

	DialTimeout   time.Duration // 3 s if zero
	DialKeepAlive time.Duration // 3 s if zero; gRPC uses at least 10 s

	// DialOptions are for the gRPC connection, for instance interceptors.
	DialOptions []grpc.DialOption

	Username string
	Password string
}

const (
	defaultDial = 3 * time.Second
	// requestTimeout bounds a request of the methods that take no context.
	requestTimeout = 10 * time.Second
	// Defaults of a Service without a TTL.
	defaultHeartbeat = 3 * time.Second
	defaultTTL       = 10 * time.Second
)

// NewClient connects to the machines ("host:port" or URLs) and returns an error if none of
// them answers within DialTimeout. The client ends with ctx.
func NewClient(ctx context.Context, machines []string, options ClientOptions) (Client, error) {
	if options.DialTimeout == 0 {
		options.DialTimeout = defaultDial
	}
	if options.DialKeepAlive == 0 {
		options.DialKeepAlive = defaultDial
	}
	secure, err := options.tls()
	if err != nil {
		return nil, err
	}
	cli, err := clientv3.New(clientv3.Config{
		Context: ctx, Endpoints: machines, TLS: secure, DialTimeout: options.DialTimeout,
		DialKeepAliveTime: options.DialKeepAlive,
		DialOptions:       options.DialOptions, Username: options.Username, Password: options.Password,
	})
	if err != nil {
		return nil, err
	}
	if err := answers(ctx, cli, options.DialTimeout); err != nil {
		return nil, errors.Join(fmt.Errorf("etcd at %v does not answer: %w", machines, err), cli.Close())
	}
	c := &client{cli: cli, ctx: ctx, registrars: make(map[int64]*discovery.Registrar), entries: make(map[string]*entry)}
	context.AfterFunc(ctx, c.close)
	return c, nil
}

// answers reports whether there is a server: any answer counts, even a refusal.
func answers(ctx context.Context, cli *clientv3.Client, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := cli.Get(clientv3.WithFailFast(ctx), "\x00")
	switch clientv3.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		for _, m := range cli.MemberStates() {
			if m.LastErr != nil {
				err = fmt.Errorf("%w (%s: %w)", err, m.Endpoint, m.LastErr)
			}
		}
		return err
	}
	return nil
}

// tls returns nil if no option asks for TLS.
func (o *ClientOptions) tls() (*tls.Config, error) {
	if o.Cert == "" && o.Key == "" && o.CACert == "" {
		return nil, nil
	}
	if (o.Cert == "") != (o.Key == "") {
		return nil, errors.New("a client certificate needs both Cert and Key")
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.Cert != "" {
		pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if o.CACert != "" {
		pem, err := os.ReadFile(o.CACert)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate", o.CACert)
		}
	}
	return c, nil
}

// client is a Client. Services with the same time to live share a registrar, and so a
// lease.
type client struct {
	cli *clientv3.Client
	ctx context.Context

	mu         sync.Mutex
	registrars map[int64]*discovery.Registrar // by TTL in seconds
	entries    map[string]*entry              // by key
	last       *discovery.Registrar           // of the service that was registered last
}

// close ends the client when its context ends: records are removed at once.
func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		e.stop()
	}
	for _, r := range c.registrars {
		_ = r.Close() // otherwise the leases expire
	}
	_ = c.cli.Close()
}

func (c *client) GetEntries(prefix string) ([]string, error) {
	ctx, cancel := context.WithTimeout(c.ctx, requestTimeout)
	defer cancel()
	r, err := c.cli.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	entries := make([]string, len(r.Kvs))
	for i, kv := range r.Kvs {
		entries[i] = string(kv.Value)
	}
	return entries, nil
}

func (c *client) LeaseID() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		return 0
	}
	return int64(c.last.Lease())
}
