package clientv3

import (
	"context"
	"crypto/tls"
	"slices"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/internal/etcderr"
	"github.com/fairlead-go/fairlead/internal/transport"
)

// Config describes a client. Only Endpoints is required.
type Config struct {
	// Endpoints lists where the members are: host:port, http://host:port,
	// https://host:port, or a unix socket as unix:///path or unixs:///path. http never
	// uses TLS and https always does, so they cannot be mixed; the others use it if TLS
	// is set. Names are looked up for every connection. The addresses of a name (eight at
	// most) are ways to one member; if etcd's member ids behind them differ, each of these
	// members takes the place of the name. A dialer among DialOptions gets the name.
	Endpoints []string `json:"endpoints"`

	// AutoSyncInterval is how often the endpoints are replaced by those of the
	// cluster's members, see Client.Sync. 0, the default: never.
	AutoSyncInterval time.Duration `json:"auto-sync-interval"`

	// DialTimeout bounds what New waits for (a token, the servers' versions), and is
	// how long a first connection attempt may last before a request that fails fast
	// counts the endpoint as down. 0: New waits as long as Context lasts, and the first
	// connection attempt is given 1 s.
	DialTimeout time.Duration `json:"dial-timeout"`

	// DialKeepAliveTime is after how much silence gRPC pings the server; gRPC raises it
	// to at least 10 s. 0: no pings. The client finds silent members by its own means,
	// with or without pings.
	DialKeepAliveTime time.Duration `json:"dial-keep-alive-time"`

	// DialKeepAliveTimeout is how long a ping may stay unanswered before gRPC closes
	// the connection. 0: gRPC's default of 20 s.
	DialKeepAliveTimeout time.Duration `json:"dial-keep-alive-timeout"`

	// MaxCallSendMsgSize bounds requests, in bytes. 0: 2 MiB, which is above the
	// server's own limit of 1.5 MiB (--max-request-bytes). Calls on ActiveConnection and on
	// connections of Dial are not bounded.
	MaxCallSendMsgSize int

	// MaxCallRecvMsgSize bounds responses, in bytes. 0: 2 GiB. If both are set it must
	// not be below MaxCallSendMsgSize.
	MaxCallRecvMsgSize int

	// TLS secures the connections.
	TLS *tls.Config

	// Username and Password log in, see the documentation of etcd's authentication.
	// The token that the server gives is renewed as needed.
	Username string `json:"username"`
	Password string `json:"password"`

	// LazyLogin makes New not wait for the first token, so that a program can start while
	// no member answers. Calls, watches and leases log in when they begin, and a wrong password is
	// their error. By default it is New's.
	LazyLogin bool `json:"lazy-login"`

	// Token authenticates instead of a password. It cannot be renewed.
	Token string `json:"token"`

	// RejectOldCluster makes New fail with ErrOldCluster if a member is older than
	// etcd 3.4. One member that answers is enough.
	RejectOldCluster bool `json:"reject-old-cluster"`

	// DialOptions are handed to gRPC after our own and so take precedence:
	// interceptors, grpc.WithContextDialer, grpc.WithDefaultCallOptions and so on; but
	// the sizes of messages are those of this Config. Interceptors also see calls that the client
	// makes itself, such as for a status to find the leader, but not its probes.
	// grpc.WithBlock has no effect, see New.
	DialOptions []grpc.DialOption

	// Context is the parent of everything the client does in the background; its outgoing metadata
	// goes with every stream that the client opens by itself. nil: context.Background().
	Context context.Context

	// Logger takes the client's log. nil: one is built from LogConfig.
	Logger *zap.Logger

	// LogConfig builds the logger. nil: JSON on standard error at the level of
	// ClientLogLevel.
	LogConfig *zap.Config

	// PermitWithoutStream lets gRPC ping (DialKeepAliveTime) while nothing is under
	// way.
	PermitWithoutStream bool `json:"permit-without-stream"`

	// MaxUnaryRetries is how often a call is repeated after failures that allow it. 0:
	// 10.
	MaxUnaryRetries uint `json:"max-unary-retries"`

	// BackoffWaitBetween is the wait before a repetition. 0: grows from 100 ms to 1 s.
	BackoffWaitBetween time.Duration `json:"backoff-wait-between"`

	// BackoffJitterFraction spreads BackoffWaitBetween by that fraction up and down. 0:
	// 0.1.
	BackoffJitterFraction float64 `json:"backoff-jitter-fraction"`

	// FailFast makes a call fail at once (code Unavailable) when no member is
	// available, with an error that says of each endpoint why it is down. A first
	// connection attempt in progress counts as down only after DialTimeout. False, the
	// default: the call waits for a member as long as its context lasts. See
	// WithFailFast for single calls.
	FailFast bool `json:"fail-fast"`

	// WatchBufferLimit bounds, in bytes, the events that wait for slow consumers of
	// watches. Past it the watch with the most of them pauses on the server and goes on
	// from where it was when its consumer has caught up. 0: 64 MiB.
	WatchBufferLimit int64 `json:"watch-buffer-limit"`

	// StreamProbeInterval is how long a connection that carries watches or renewals may
	// be quiet before the member on it is asked for a sign of life: one small request. 0:
	// 1.5 s, with which a watch on a member that freezes delivers again within 3 s. Where
	// thousands of clients with quiet watches share a cluster, a longer interval costs it
	// less. Renewals watch over their own answers, whatever this is.
	StreamProbeInterval time.Duration `json:"stream-probe-interval"`

	// ProbeTimeout is how long a member may take for that sign of life before it is left. 0:
	// three times its round trip as observed, 1 s at least and 10 s at most. Raise it where
	// members pause for longer and are healthy.
	ProbeTimeout time.Duration `json:"probe-timeout"`

	// SilenceLimit is how long calls may wait for a member without a byte from it before
	// new ones go elsewhere and it is asked for a sign of life. 0: three times what its
	// calls usually take, 200 ms at least and 3 s at most.
	SilenceLimit time.Duration `json:"silence-limit"`

	// StallTimeout is how long a member that is alive may take for a linearizable read,
	// asked of it because its calls wait, before calls, watches and renewals leave it. 0:
	// four times what its calls usually take, 500 ms at least and 10 s at most.
	StallTimeout time.Duration `json:"stall-timeout"`

	// Hooks are called for what happens inside the client.
	Hooks Hooks `json:"-"`

	roots transport.Roots // follows the CA file of a ConfigSpec; belongs to TLS
}

// ConfigSpec is a configuration that can be written as JSON, as command lines and
// configuration files have it.
type ConfigSpec struct {
	Endpoints          []string      `json:"endpoints"`
	RequestTimeout     time.Duration `json:"request-timeout"`
	DialTimeout        time.Duration `json:"dial-timeout"`
	KeepAliveTime      time.Duration `json:"keepalive-time"`
	KeepAliveTimeout   time.Duration `json:"keepalive-timeout"`
	MaxCallSendMsgSize int           `json:"max-request-bytes"`
	MaxCallRecvMsgSize int           `json:"max-recv-bytes"`
	Secure             *SecureConfig `json:"secure"`
	Auth               *AuthConfig   `json:"auth"`
}

// AuthConfig is who logs in: a user with a password, or a token.
type AuthConfig struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Token    string `json:"token"`
}

// Empty reports that nobody logs in.
func (cfg AuthConfig) Empty() bool { return cfg == AuthConfig{} }

// SecureConfig says how connections are secured, by the names of files. The files
// are read again when they change; connections made afterwards use what they hold.
type SecureConfig struct {
	Cert       string `json:"cert"`        // client certificate, with Key
	Key        string `json:"key"`         // its key
	Cacert     string `json:"cacert"`      // authority of the servers' certificates
	ServerName string `json:"server-name"` // name in the servers' certificates, if not the endpoint's host

	InsecureTransport  bool `json:"insecure-transport"`       // no TLS unless one of the fields above asks for it
	InsecureSkipVerify bool `json:"insecure-skip-tls-verify"` // any server certificate will do
}

// Clone returns a copy that shares nothing with the original.
func (cs *ConfigSpec) Clone() *ConfigSpec {
	if cs == nil {
		return nil
	}
	c := *cs
	c.Endpoints = slices.Clone(cs.Endpoints)
	if cs.Secure != nil {
		s := *cs.Secure
		c.Secure = &s
	}
	if cs.Auth != nil {
		a := *cs.Auth
		c.Auth = &a
	}
	return &c
}

// NewClientConfig makes a Config of a specification: it reads the certificate files.
// RequestTimeout is for the caller's own contexts. lg is neither used nor put into the Config,
// whose Logger is left to the caller.
func NewClientConfig(confSpec *ConfigSpec, lg *zap.Logger) (*Config, error) {
	if confSpec == nil {
		return nil, etcderr.Invalid("", "the configuration is nil")
	}
	cfg := &Config{
		Endpoints:            slices.Clone(confSpec.Endpoints),
		DialTimeout:          confSpec.DialTimeout,
		DialKeepAliveTime:    confSpec.KeepAliveTime,
		DialKeepAliveTimeout: confSpec.KeepAliveTimeout,
		MaxCallSendMsgSize:   confSpec.MaxCallSendMsgSize,
		MaxCallRecvMsgSize:   confSpec.MaxCallRecvMsgSize,
	}
	if a := confSpec.Auth; a != nil {
		cfg.Username, cfg.Password, cfg.Token = a.Username, a.Password, a.Token
	}
	s := confSpec.Secure
	if s == nil {
		return cfg, nil
	}
	files := transport.Files{
		Cert:       s.Cert,
		Key:        s.Key,
		CA:         s.Cacert,
		ServerName: s.ServerName,
		SkipVerify: s.InsecureSkipVerify,
	}
	named := s.Cert != "" || s.Key != "" || s.Cacert != "" || s.ServerName != ""
	if !named && s.InsecureTransport {
		return cfg, nil
	}
	var err error
	if cfg.TLS, cfg.roots, err = transport.TLSConfig(files); err != nil {
		e := etcderr.Invalid("", "TLS: %v", err)
		e.Cause = err
		return nil, e
	}
	return cfg, nil
}

const (
	// defaultMaxSend is above the server's default limit for requests, 1.5 MiB, so
	// that the server's own clear answer is seen.
	defaultMaxSend = 2 << 20
	defaultMaxRecv = 1<<31 - 1 // ranges can be of any size
)

// check completes the configuration and says what is wrong with it.
func (cfg *Config) check() error {
	if len(cfg.Endpoints) == 0 {
		return ErrNoAvailableEndpoints
	}
	if cfg.Token != "" && (cfg.Username != "" || cfg.Password != "") {
		return ErrMutuallyExclusiveCfg
	}
	if cfg.MaxCallSendMsgSize < 0 || cfg.MaxCallRecvMsgSize < 0 || cfg.WatchBufferLimit < 0 ||
		cfg.DialTimeout < 0 || cfg.AutoSyncInterval < 0 || cfg.BackoffWaitBetween < 0 ||
		cfg.StreamProbeInterval < 0 || cfg.ProbeTimeout < 0 || cfg.SilenceLimit < 0 || cfg.StallTimeout < 0 {
		return etcderr.Invalid("", "the configuration has a negative size or duration")
	}
	if cfg.BackoffJitterFraction < 0 || cfg.BackoffJitterFraction > 1 {
		return etcderr.Invalid("", "BackoffJitterFraction is %v, want 0 to 1", cfg.BackoffJitterFraction)
	}
	if send, recv := cfg.MaxCallSendMsgSize, cfg.MaxCallRecvMsgSize; send != 0 && recv != 0 && recv < send {
		return etcderr.Invalid(
			"",
			"MaxCallRecvMsgSize (%d) is below MaxCallSendMsgSize (%d): a value that was written could not be read",
			recv,
			send,
		)
	}
	if cfg.MaxCallSendMsgSize == 0 {
		cfg.MaxCallSendMsgSize = defaultMaxSend
	}
	if cfg.MaxCallRecvMsgSize == 0 {
		cfg.MaxCallRecvMsgSize = defaultMaxRecv
	}
	if cfg.Context == nil {
		cfg.Context = context.Background()
	}
	return nil
}
