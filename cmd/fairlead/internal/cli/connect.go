package cli

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

// call opens a client and runs f with the command's time limit.
func (a *app) call(ctx context.Context, f func(context.Context, *clientv3.Client) error) error {
	return a.stream(ctx, func(ctx context.Context, c *clientv3.Client) error {
		ctx, cancel := context.WithTimeout(ctx, a.conn.commandTimeout)
		defer cancel()
		return f(impatient{ctx}, c)
	})
}

// impatient hides a context's deadline, which holds all the same. With one a call would wait until
// then where no endpoint can work as configured, in case somebody sets that right; who has just
// typed a command wants to know at once.
type impatient struct{ context.Context }

func (impatient) Deadline() (time.Time, bool) { return time.Time{}, false }

// stream opens a client and runs f without a time limit, for commands that run until they are
// ended.
func (a *app) stream(ctx context.Context, f func(context.Context, *clientv3.Client) error) error {
	return a.dialled(ctx, clientv3.New, f)
}

// serve is stream for commands that serve while etcd is away, also from their start on: a login
// that nobody answers is made later. One that is refused ends them.
func (a *app) serve(ctx context.Context, f func(context.Context, *clientv3.Client) error) error {
	return a.dialled(ctx, func(cfg clientv3.Config) (*clientv3.Client, error) {
		c, err := clientv3.New(cfg)
		if code := clientv3.Code(err); code == codes.DeadlineExceeded || code == codes.Unavailable {
			return newLazy(cfg)
		}
		return c, err
	}, f)
}

// patient is stream for commands that wait for etcd at their start, with a user as without: the
// login belongs to the first call then, and has the time that it has.
func (a *app) patient(ctx context.Context, f func(context.Context, *clientv3.Client) error) error {
	return a.dialled(ctx, newLazy, f)
}

// newLazy makes a client that waits for nobody.
func newLazy(cfg clientv3.Config) (*clientv3.Client, error) {
	cfg.LazyLogin = true
	return clientv3.New(cfg)
}

func (a *app) dialled(ctx context.Context, dial func(clientv3.Config) (*clientv3.Client, error), f func(context.Context, *clientv3.Client) error) error {
	cfg, err := a.config(ctx)
	if err != nil {
		return err
	}
	client, err := dial(cfg)
	if err != nil {
		return a.explain(ctx, nil, err)
	}
	defer client.Close()
	defer a.sayWaiting(client)()
	return a.explain(ctx, client, f(ctx, client))
}

// config turns the global flags into the client's configuration.
func (a *app) config(ctx context.Context) (clientv3.Config, error) {
	f := &a.conn
	if f.commandTimeout <= 0 || f.dialTimeout < 0 {
		return clientv3.Config{}, usageError{errors.New("--command-timeout must be positive, --dial-timeout not negative")}
	}
	endpoints, err := a.endpoints(ctx)
	if err != nil {
		return clientv3.Config{}, err
	}
	if _, err := endpoint.ParseAll(endpoints); err != nil {
		return clientv3.Config{}, usageError{err}
	}
	secured, err := f.secured()
	if err != nil {
		return clientv3.Config{}, usageError{err}
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
	cfg.Token = f.token
	cfg.Logger = zap.NewNop()
	if f.debug {
		logger, err := zap.NewDevelopment()
		if err != nil {
			return cfg, err
		}
		cfg.Logger = logger
	}
	if cfg.Username, cfg.Password, err = a.credentials(ctx); err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

// secured is a configuration that has only what the flags about certificates say. Its connections
// follow the files; TLS is nil if nothing asks for it.
func (f *connFlags) secured() (*clientv3.Config, error) {
	if (f.cert == "") != (f.key == "") {
		return nil, errors.New("--cert and --key belong together: give both or neither")
	}
	wanted := f.insecureSkipVerify || !f.insecureTransport
	for _, ep := range f.endpoints {
		wanted = wanted || strings.HasPrefix(ep, "https://") || strings.HasPrefix(ep, "unixs:")
	}
	return clientv3.NewClientConfig(&clientv3.ConfigSpec{Secure: &clientv3.SecureConfig{
		Cert: f.cert, Key: f.key, Cacert: f.cacert, InsecureTransport: !wanted, InsecureSkipVerify: f.insecureSkipVerify,
	}}, nil)
}

func (a *app) credentials(ctx context.Context) (user, password string, err error) {
	f := &a.conn
	switch {
	case f.user == "" && f.password != "":
		return "", "", errors.New("--password needs --user")
	case f.user != "" && f.token != "":
		return "", "", errors.New("--auth-jwt-token and --user exclude each other")
	case f.user == "":
		return "", "", nil
	case f.password != "":
		return f.user, f.password, nil
	}
	if user, password, ok := strings.Cut(f.user, ":"); ok {
		return user, password, nil
	}
	password, err = a.askPassword(ctx, f.user)
	return f.user, password, err
}
