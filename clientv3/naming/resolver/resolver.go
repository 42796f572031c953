package resolver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/codes"
	gresolver "google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/naming/internal/registry"
	"github.com/fairlead-go/fairlead/internal/worker"
)

const scheme = "etcd"

// NewBuilder returns a builder of resolvers for targets with the scheme "etcd", for
// grpc.WithResolvers. The client must not be nil; it stays the caller's, to be closed after the
// connections.
func NewBuilder(client *clientv3.Client) (gresolver.Builder, error) {
	if client == nil {
		return nil, errors.New("resolver: the etcd client is nil")
	}
	return &builder{client: client}, nil
}

type builder struct{ client *clientv3.Client }

func (b *builder) Scheme() string { return scheme }

// Build starts a resolver. It fails only if the target names no service.
func (b *builder) Build(
	target gresolver.Target,
	cc gresolver.ClientConn,
	_ gresolver.BuildOptions,
) (gresolver.Resolver, error) {
	service := target.Endpoint()
	if service == "" {
		hint := ""
		if target.URL.Host != "" {
			hint = fmt.Sprintf(
				"; %q is its authority, write %s:///%s for a service",
				target.URL.Host,
				scheme,
				target.URL.Host,
			)
		}
		return nil, status.Errorf(
			codes.InvalidArgument,
			"resolver: the target %q names no service%s",
			target.URL.String(),
			hint,
		)
	}
	r := &resolver{client: b.client, service: service, cc: cc, group: worker.New(context.Background())}
	r.group.Go(r.run)
	return r, nil
}

// resolver passes addresses to one gRPC connection. Its goroutine, run, owns the fields that
// change.
type resolver struct {
	client  *clientv3.Client
	service string
	cc      gresolver.ClientConn
	group   *worker.Group

	records map[string]registry.Record // by key
	updated []registry.Record          // the last list that gRPC got; nil before the first
}

// ResolveNow implements gRPC's Resolver. It does nothing, since the addresses are watched.
func (r *resolver) ResolveNow(gresolver.ResolveNowOptions) {}

// Close implements gRPC's Resolver. It returns when the resolver's goroutine has ended.
func (r *resolver) Close() { r.group.Stop() }

// attemptTimeout bounds one listing, so that an error is reported while one member after the other
// is silent. It leaves the client time to find a member that answers.
const attemptTimeout = 3 * time.Second

// attempt makes a listing fail when no member can be reached, so that calls fail with that error.
func attempt(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(clientv3.WithFailFast(ctx), attemptTimeout)
}

func (r *resolver) run(ctx context.Context) {
	f := registry.NewFollower(ctx, r.client, r.service)
	f.Attempt = attempt
	defer f.Close()
	r.records = make(map[string]registry.Record)
	for failures := 0; ; {
		changes, err := f.Next()
		if err == nil {
			failures = 0
			r.apply(changes)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		r.report(err, failures)
		if f.Closed(err) {
			return
		}
		longest := registry.PauseMax
		if registry.Refused(err) {
			longest = registry.RefusedPauseMax
		}
		f.Pause(failures, longest)
		failures++
	}
}

// report passes an error to gRPC, which uses it for calls while there are no addresses. It logs the
// first error in a row.
func (r *resolver) report(err error, failures int) {
	if failures == 0 {
		r.client.GetLogger().
			Sugar().
			Warnw("a service cannot be resolved for the moment", "service", r.service, "error", err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("etcd did not answer within %v: %w", attemptTimeout, err)
	}
	// gRPC gets only the text: an error with a status would end calls that are willing to wait,
	// with that status.
	r.cc.ReportError(fmt.Errorf("etcd resolver: service %q: %v", r.service, err))
}

func (r *resolver) apply(changes []registry.Change) {
	for _, c := range changes {
		if c.Now == nil {
			delete(r.records, c.Key)
		} else {
			r.records[c.Key] = *c.Now
		}
	}
	now := make([]registry.Record, 0, len(r.records)) // not nil, since an empty list is reported too
	seen := make(map[string]bool, len(r.records))
	for _, key := range slices.Sorted(maps.Keys(r.records)) {
		rec := r.records[key]
		if rec.Addr == "" || seen[rec.Addr] {
			continue
		}
		seen[rec.Addr] = true
		now = append(now, rec)
	}
	if r.updated != nil && slices.EqualFunc(r.updated, now, registry.Equal) {
		return
	}
	r.updated = now
	// An error means that the balancer refuses the addresses. It would refuse them again.
	_ = r.cc.UpdateState(state(now))
	if len(now) == 0 {
		// Balancers say "zero addresses" by themselves, but do not name the service.
		r.cc.ReportError(
			fmt.Errorf(
				"etcd resolver: service %q has no endpoints: no key under %q holds an address",
				r.service,
				registry.Prefix(r.service),
			),
		)
	}
}

// state has the addresses twice, for new and for old balancers.
func state(records []registry.Record) gresolver.State {
	s := gresolver.State{
		Addresses: make([]gresolver.Address, len(records)),
		Endpoints: make([]gresolver.Endpoint, len(records)),
	}
	for i, rec := range records {
		addr := gresolver.Address{Addr: rec.Addr}
		if rec.Metadata != nil {
			addr.Attributes = attributes.New(metadataKey{}, metadata{rec.Metadata})
		}
		s.Addresses[i] = addr
		s.Endpoints[i] = gresolver.Endpoint{Addresses: []gresolver.Address{addr}, Attributes: addr.Attributes}
	}
	return s
}
