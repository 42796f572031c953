package command

import (
	"cmp"
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/endpoint"
)

// Call opens a client and runs f with the command's time limit.
func (a *App) Call(ctx context.Context, f func(context.Context, *clientv3.Client) error) error {
	return a.Stream(ctx, func(ctx context.Context, c *clientv3.Client) error {
		ctx, cancel := context.WithTimeout(ctx, a.Conn.CommandTimeout)
		defer cancel()
		return f(impatient{ctx}, c)
	})
}

// impatient hides a context's deadline, which stays in force. If no endpoint can work as
// configured, a call with a deadline waits until then, in case the configuration is corrected; the
// user of a command needs the error at once.
type impatient struct{ context.Context }

func (impatient) Deadline() (time.Time, bool) { return time.Time{}, false }

// Stream opens a client and runs f without a time limit, for commands that run until they are
// interrupted. It does not wait for a member: the first call logs the user in, within its own time
// limit, so that a command waits for etcd as long with a user as without.
func (a *App) Stream(ctx context.Context, f func(context.Context, *clientv3.Client) error) error {
	return a.dialled(ctx, newLazy, f)
}

// Serve is Stream for commands that serve while etcd is away and would not notice by themselves
// that a login is refused: a refused login ends them. If no member answers the login, the first
// call repeats it.
func (a *App) Serve(ctx context.Context, f func(context.Context, *clientv3.Client) error) error {
	return a.dialled(ctx, func(cfg clientv3.Config) (*clientv3.Client, error) {
		c, err := clientv3.New(cfg)
		if code := clientv3.Code(err); code == codes.DeadlineExceeded || code == codes.Unavailable {
			return newLazy(cfg)
		}
		return c, err
	}, f)
}

// newLazy makes a client without waiting for a member.
func newLazy(cfg clientv3.Config) (*clientv3.Client, error) {
	cfg.LazyLogin = true
	return clientv3.New(cfg)
}

// dialled opens a client with dial and runs f with it.
func (a *App) dialled(
	ctx context.Context,
	dial func(clientv3.Config) (*clientv3.Client, error),
	f func(context.Context, *clientv3.Client) error,
) error {
	cfg, err := a.Config(ctx)
	if err != nil {
		return err
	}
	client, err := dial(cfg)
	if err != nil {
		return a.Explain(ctx, nil, err)
	}
	defer client.Close()
	defer a.sayWaiting(client)()
	return a.Explain(ctx, client, f(ctx, client))
}

// Config turns the global flags into the client's configuration.
func (a *App) Config(ctx context.Context) (clientv3.Config, error) {
	f := &a.Conn
	if f.CommandTimeout <= 0 || f.dialTimeout < 0 {
		return clientv3.Config{}, UsageError{
			errors.New("--command-timeout must be positive, --dial-timeout not negative"),
		}
	}
	endpoints, err := a.Endpoints(ctx)
	if err != nil {
		return clientv3.Config{}, err
	}
	if _, err := endpoint.ParseAll(endpoints); err != nil {
		return clientv3.Config{}, UsageError{err}
	}
	secured, err := f.Secured()
	if err != nil {
		return clientv3.Config{}, UsageError{err}
	}
	cfg := *secured
	cfg.Endpoints = endpoints
	cfg.Context = ctx
	cfg.DialTimeout = f.dialTimeout
	cfg.FailFast = f.failFast
	cfg.DialKeepAliveTime = f.keepAliveTime
	cfg.DialKeepAliveTimeout = f.keepAliveTimeout
	cfg.MaxCallSendMsgSize = f.maxRequestBytes
	cfg.MaxCallRecvMsgSize = cmp.Or(f.maxRecvBytes, math.MaxInt32)
	cfg.Token = f.Token
	cfg.Logger = zap.NewNop()
	if f.Debug {
		logger, err := zap.NewDevelopment()
		if err != nil {
			return cfg, err
		}
		cfg.Logger = logger
	}
	if cfg.Username, cfg.Password, err = a.credentials(ctx); err != nil {
		return cfg, UsageError{err}
	}
	return cfg, nil
}

// Secured returns a configuration with the flags about certificates only. Its connections use files
// that are replaced; TLS is nil if no flag needs it.
func (f *ConnFlags) Secured() (*clientv3.Config, error) {
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("--cert and --key belong together: give both or neither")
	}
	wanted := f.InsecureSkipVerify || !f.InsecureTransport
	for _, ep := range f.Endpoints {
		wanted = wanted || strings.HasPrefix(ep, "https://") || strings.HasPrefix(ep, "unixs:")
	}
	return clientv3.NewClientConfig(&clientv3.ConfigSpec{Secure: &clientv3.SecureConfig{
		Cert: f.Cert, Key: f.Key, Cacert: f.Cacert, InsecureTransport: !wanted,
		InsecureSkipVerify: f.InsecureSkipVerify,
	}}, nil)
}

func (a *App) credentials(ctx context.Context) (user, password string, err error) {
	f := &a.Conn
	switch {
	case f.User == "" && f.Password != "":
		return "", "", errors.New("--password needs --user")
	case f.User != "" && f.Token != "":
		return "", "", errors.New("--auth-jwt-token and --user exclude each other")
	case f.User == "":
		return "", "", nil
	case f.Password != "":
		return f.User, f.Password, nil
	}
	if user, password, ok := strings.Cut(f.User, ":"); ok {
		return user, password, nil
	}
	password, err = a.askPassword(ctx, f.User)
	return f.User, password, err
}
