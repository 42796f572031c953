package httpdisc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/internal/attempt"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

const (
	// DefaultAttempts is enough if one instance has gone and another is about to go.
	DefaultAttempts = 3
	// idlePerHost is how many idle connections are kept per instance; with the two of
	// http.Transport a busy client would open new ones all the time.
	idlePerHost = 64
	// patience is how long requests wait for etcd's first answer: long enough for the client to
	// find a member that answers.
	patience = 3 * time.Second
	// unused is the time after which a service without requests is not watched any more.
	unused = 10 * time.Minute
)

// Transport is an http.RoundTripper whose hosts are services. It must be closed.
type Transport struct {
	directory *discovery.Directory
	policy    pick.Policy
	picking   []pick.Option
	attempts  int
	// attemptTimeout bounds attempts that another one can follow; 0: no limit.
	attemptTimeout time.Duration
	suffix         string
	other          http.RoundTripper // for hosts without the suffix
	base           func(service string) http.RoundTripper
	hedging        time.Duration // 0: no hedging
	filterHeader   string        // empty: no header
	retries        *attempt.Budget
	hedges         *attempt.Budget
	err            error // an argument or option is invalid

	mu       sync.Mutex
	services map[string]*service
	closed   bool
}

// service is a service that was called.
type service struct {
	picks *pick.Balancer
	base  http.RoundTripper
	used  time.Time // guarded by Transport.mu; the last request
}

// Option changes a Transport.
type Option func(*Transport)

// WithPolicy sets the policy that chooses instances; the default is pick.P2C.
func WithPolicy(p pick.Policy) Option {
	return func(t *Transport) {
		if t.policy = p; p == nil {
			t.refuse("the policy is nil")
		}
	}
}

// WithPicking adds options for the balancers of package pick.
func WithPicking(opts ...pick.Option) Option {
	return func(t *Transport) {
		for _, o := range opts {
			if o == nil {
				t.refuse("an option for picking is nil")
			}
		}
		t.picking = append(t.picking, opts...)
	}
}

// WithAttempts sets the most attempts for a request, including the first, 1 to 100; the default is
// [DefaultAttempts]. 1 means no retries, and goes with neither [WithAttemptTimeout] nor
// [WithHedging].
func WithAttempts(n int) Option { return func(t *Transport) { t.attempts = n } }

// WithAttemptTimeout limits the time of an attempt until the header of its answer. It applies if
// the request may be sent again (see Retries in the package documentation), this is not the last
// attempt, and there is another instance. A frozen instance then delays a request by that much, and
// is ejected. The limit should be longer than the slowest request takes. 0, the default, means no
// limit but the request's own.
func WithAttemptTimeout(d time.Duration) Option {
	return func(t *Transport) { t.attemptTimeout = d }
}

// WithHedging sends a request that may be sent again (see Retries in the package documentation) to
// another instance as well if there is no header of an answer after d. The first answer counts, and
// the other attempt is cancelled, so the request is sometimes executed twice. Choose a d that at
// most one request in twenty exceeds: further ones, after a burst of 100, are hedged a second
// later, from the budget for retries. 0, the default, means no hedging.
func WithHedging(d time.Duration) Option { return func(t *Transport) { t.hedging = d } }

// WithFilterHeader names a header with which a request chooses its instances: the value is a
// discovery.Filter, for example "v2" or "tag=canary". Such a request goes to no other instance,
// whatever the service's split, and fails with pick.ErrNoInstances if there is none; an invalid
// filter is an error that wraps discovery.ErrInvalid. The header is sent on. Set this only if the
// author of the requests' headers may choose. The filter for all requests is pick.WithFilter, with
// [WithPicking].
func WithFilterHeader(name string) Option {
	return func(t *Transport) {
		if name == "" || strings.ContainsAny(name, ": \t\r\n") {
			t.refuse(fmt.Sprintf("a header of the name %q", name))
		}
		t.filterHeader = name
	}
}

// WithSuffix treats only hosts that end in suffix, for example ".service", as services, without the
// suffix. Requests for all others go to other, http.DefaultTransport if nil.
func WithSuffix(suffix string, other http.RoundTripper) Option {
	return func(t *Transport) {
		if t.suffix, t.other = suffix, other; other == nil {
			t.other = http.DefaultTransport
		}
	}
}

// WithTransport sets the transport of requests: base is called once for each service, and may
// return the same for all. It gets URLs with the address of an instance as their host; the package
// documentation says what else it is responsible for. It should not repeat requests itself.
func WithTransport(base func(service string) http.RoundTripper) Option {
	return func(t *Transport) {
		if t.base = base; base == nil {
			t.refuse("the function for transports is nil")
		}
	}
}

// New makes a Transport; it does nothing until its first request. The caller still owns the
// directory. For an invalid directory, option or policy, RoundTrip fails with an error that wraps
// discovery.ErrInvalid.
func New(directory *discovery.Directory, opts ...Option) *Transport {
	t := &Transport{
		directory: directory, policy: pick.P2C(), picking: []pick.Option{pick.WithLatency()}, attempts: DefaultAttempts,
		base:     standard,
		services: make(map[string]*service), retries: attempt.Retries(), hedges: attempt.Hedges(),
	}
	if directory == nil {
		t.refuse("the directory is nil")
	}
	for _, o := range opts {
		if o == nil {
			t.refuse("an option is nil")
			continue
		}
		o(t)
	}
	if err := attempt.Check(t.attempts, t.attemptTimeout, t.hedging); err != nil {
		t.refuse(err.Error())
	}
	return t
}

// refuse records an invalid argument; the first one is the error.
func (t *Transport) refuse(what string) {
	if t.err == nil {
		t.err = fmt.Errorf("httpdisc: %w: %s", discovery.ErrInvalid, what)
	}
}

// standard returns the default transport for a service.
func standard(service string) http.RoundTripper {
	base := &http.Transport{ForceAttemptHTTP2: true}
	if d, ok := http.DefaultTransport.(*http.Transport); ok { // a program may have replaced it
		base = d.Clone()
	}
	base.Proxy, base.MaxIdleConnsPerHost = nil, idlePerHost
	base.MaxIdleConns = 0 // they are bounded per instance
	if base.TLSClientConfig == nil {
		base.TLSClientConfig = new(tls.Config)
	}
	base.TLSClientConfig.ServerName = service
	return base
}

// nameOf returns the service of a request; ok is false if the host is not a service.
func (t *Transport) nameOf(req *http.Request) (name string, ok bool, err error) {
	if req.URL == nil {
		return "", true, errors.New("httpdisc: a request without a URL")
	}
	name, ok = strings.CutSuffix(req.URL.Hostname(), t.suffix)
	switch {
	case !ok:
		return "", false, nil
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return "", true, fmt.Errorf("httpdisc: the scheme %q of %s", req.URL.Scheme, req.URL.Redacted())
	case req.URL.Port() != "":
		return "", true, fmt.Errorf(
			"httpdisc: a port in %s: the instances of the service have theirs",
			req.URL.Redacted(),
		)
	}
	return name, true, nil
}

// service finds a service or begins to follow it.
func (t *Transport) service(name string) (*service, error) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.services[name]; s != nil {
		s.used = now
		return s, nil
	}
	if t.closed {
		return nil, discovery.ErrClosed
	}
	for other, s := range t.services {
		if now.Sub(s.used) > unused {
			delete(t.services, other)
			defer s.close()
		}
	}
	base := t.base(name)
	if base == nil {
		return nil, fmt.Errorf("httpdisc: %w: the transport for the service %q is nil", discovery.ErrInvalid, name)
	}
	sub, err := t.directory.Subscribe(name)
	if err != nil {
		return nil, err
	}
	s := &service{picks: pick.Follow(sub, t.policy, t.picking...), base: base}
	s.used = now
	t.services[name] = s
	return s, nil
}

// close ends the watch. Requests under way go on.
func (s *service) close() {
	s.picks.Close()
	s.closeIdle()
}

func (s *service) closeIdle() {
	if c, ok := s.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Statuses returns what is known of the instances of a service, nil if it was not called.
func (t *Transport) Statuses(service string) []pick.Status {
	t.mu.Lock()
	s := t.services[service]
	t.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.picks.Statuses()
}

// Split returns the present split of a service's calls, see pick.Balancer; nil if there is none, or
// the service was not called.
func (t *Transport) Split(service string) []pick.SubsetStatus {
	t.mu.Lock()
	s := t.services[service]
	t.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.picks.Split()
}

// CloseIdleConnections closes connections that are not in use; http.Client calls it.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.services {
		s.closeIdle()
	}
}

// Close ends all watches and closes idle connections. Requests under way go on, later ones
// fail with discovery.ErrClosed.
func (t *Transport) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for name, s := range t.services {
		s.close()
		delete(t.services, name)
	}
	return nil
}

// pick chooses an instance that matches a filter and has not been tried.
func (s *service) pick(
	ctx context.Context,
	f discovery.Filter,
	tried []*discovery.Instance,
) (*discovery.Instance, pick.Done, error) {
	in, done, err := s.picks.PickMatching(ctx, f, tried...)
	var none *pick.NoInstancesError
	if err == nil || !errors.As(err, &none) || none.Known || ctx.Err() != nil {
		return in, done, err
	}
	wctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if why := s.picks.Ready(wctx); why != nil && ctx.Err() == nil {
		return nil, pick.Done{}, fmt.Errorf("%w, etcd has not said within %v: %v", err, patience, why)
	}
	return s.picks.PickMatching(ctx, f, tried...)
}
