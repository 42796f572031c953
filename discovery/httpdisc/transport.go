package httpdisc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/internal/attempt"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

const (
	// DefaultAttempts is enough when one instance has gone and another is about to.
	DefaultAttempts = 3
	// idlePerHost is how many idle connections are kept per instance; the two of
	// http.Transport make a busy client connect all the time.
	idlePerHost = 64
	// patience is how long etcd's first answer is waited for: enough for the client to find
	// a member that answers.
	patience = 3 * time.Second
	// unused is after which a service is no longer watched.
	unused = 10 * time.Minute
)

// Transport is an http.RoundTripper whose hosts are services. It must be closed.
type Transport struct {
	directory *discovery.Directory
	policy    pick.Policy
	picking   []pick.Option
	attempts  int
	// attemptTimeout bounds attempts that can be followed by another one; 0: no bound.
	attemptTimeout time.Duration
	suffix         string
	other          http.RoundTripper // for hosts without the suffix
	base           func(service string) http.RoundTripper
	hedging        time.Duration // 0: none
	filterHeader   string        // empty: none
	retries        *attempt.Budget
	hedges         *attempt.Budget
	err            error // an argument or option makes no sense

	mu       sync.Mutex
	services map[string]*service
	closed   bool
}

// service is one that was called.
type service struct {
	picks *pick.Balancer
	base  http.RoundTripper
	used  atomic.Int64 // Unix nanoseconds
}

// Option changes a Transport.
type Option func(*Transport)

// WithPolicy sets how instances are chosen; pick.P2C if not set.
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

// WithAttempts sets how often a request is sent at most, the first time included; 1 for no
// retries.
func WithAttempts(n int) Option { return func(t *Transport) { t.attempts = max(n, 1) } }

// WithAttemptTimeout sets how long an attempt may take to the header of its answer, if the request
// may be sent again afterwards (see Retries in the package documentation), this is not the last
// attempt, and there is another instance: one that stands still then costs a request that much, and
// is ejected. Choose it above what the slowest request takes. 0, the default, is no limit but the
// request's own.
func WithAttemptTimeout(d time.Duration) Option {
	return func(t *Transport) { t.attemptTimeout = max(d, 0) }
}

// WithHedging sends a request that may be sent again (see Retries in the package documentation) to
// another instance besides when there is no header of an answer after d; what answers first counts,
// and the other attempt is cancelled. So it is executed twice now and then. Choose a d that one
// request in twenty, or fewer, takes longer than: more than that, after a burst of 100, is hedged a
// second later, from what is there for retries. 0, the default, is no hedging.
func WithHedging(d time.Duration) Option { return func(t *Transport) { t.hedging = max(d, 0) } }

// WithFilterHeader names a header by which a request may ask for instances of its choice: its value
// is a discovery.Filter, "v2" or "tag=canary" say. Such a request goes to no other instance,
// whatever the service's split, and fails with pick.ErrNoInstances if there is none; a value that
// is no filter is an error that wraps discovery.ErrInvalid. The header is sent on. Set it only if
// whoever sets the headers of the requests may choose. The filter for all requests is
// pick.WithFilter, with [WithPicking].
func WithFilterHeader(name string) Option {
	return func(t *Transport) { t.filterHeader = name }
}

// WithSuffix takes only hosts that end in suffix, ".service" say, for services, without the
// suffix. All others are left to other, http.DefaultTransport if nil.
func WithSuffix(suffix string, other http.RoundTripper) Option {
	return func(t *Transport) {
		if t.suffix, t.other = suffix, other; other == nil {
			t.other = http.DefaultTransport
		}
	}
}

// WithTransport sets what carries requests: base is called once for each service, and may
// return the same for all. The URLs that it gets have the address of an instance as their
// host; see the package documentation for what it is to look after. It should not repeat
// requests itself.
func WithTransport(base func(service string) http.RoundTripper) Option {
	return func(t *Transport) {
		if t.base = base; base == nil {
			t.refuse("the function for transports is nil")
		}
	}
}

// New makes a Transport; it does nothing until it is used. The directory stays the
// caller's. A directory, option or policy that is nil is the error of RoundTrip, which wraps
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
	return t
}

// refuse notes what makes no sense; the first such thing is the error.
func (t *Transport) refuse(what string) {
	if t.err == nil {
		t.err = fmt.Errorf("httpdisc: %w: %s", discovery.ErrInvalid, what)
	}
}

// standard is what carries requests to a service.
func standard(service string) http.RoundTripper {
	base := &http.Transport{ForceAttemptHTTP2: true}
	if d, ok := http.DefaultTransport.(*http.Transport); ok { // a program may have put anything there
		base = d.Clone()
	}
	base.Proxy, base.MaxIdleConnsPerHost = nil, idlePerHost
	base.MaxIdleConns = 0 // bounded per instance
	if base.TLSClientConfig == nil {
		base.TLSClientConfig = new(tls.Config)
	}
	base.TLSClientConfig.ServerName = service
	return base
}

// nameOf is the service that a request is for; ok is false if it is for another host.
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
	now := time.Now().UnixNano()
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.services[name]; s != nil {
		s.used.Store(now)
		return s, nil
	}
	if t.closed {
		return nil, discovery.ErrClosed
	}
	for other, s := range t.services {
		if now-s.used.Load() > int64(unused) {
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
	s.used.Store(now)
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

// Statuses are what is known of the instances of a service, nil if it was not called.
func (t *Transport) Statuses(service string) []pick.Status {
	t.mu.Lock()
	s := t.services[service]
	t.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.picks.Statuses()
}

// Split says how calls of a service are split now, see pick.Balancer; nil if they are not, or it
// was not called.
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

// pick chooses an instance that a filter takes, none of those that were tried.
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
