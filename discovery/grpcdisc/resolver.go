package grpcdisc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// scheme is the scheme of targets.
const scheme = "etcd"

// patience is how long calls wait for etcd's first answer before they fail: enough for the
// client to find a member that answers.
const patience = 3 * time.Second

const (
	// restLeast is the shortest time between two states for gRPC: a program may change weights a
	// thousand times a second, and the changes meanwhile go into one state.
	restLeast = 10 * time.Millisecond
	// After gRPC's update the resolver also rests for restFactor times as long as the update took.
	restFactor = 4
)

// BuilderOption changes what [NewBuilder] returns.
type BuilderOption func(*Builder)

// WithPicking adds options of package [github.com/fairlead-go/fairlead/discovery/pick] for the
// balancers to those of the service config: hooks, above all.
func WithPicking(opts ...pick.Option) BuilderOption {
	return func(b *Builder) {
		for _, o := range opts {
			if o == nil {
				b.refuse("an option for picking is nil")
			}
		}
		b.opts = append(b.opts, opts...)
	}
}

// NewBuilder returns a builder of resolvers for targets with the scheme "etcd", for
// grpc.WithResolvers. The directory stays the caller's; without one every connection fails.
func NewBuilder(directory *discovery.Directory, opts ...BuilderOption) *Builder {
	b := &Builder{directory: directory}
	if directory == nil {
		b.refuse("the directory is nil")
	}
	for _, o := range opts {
		if o == nil {
			b.refuse("an option is nil")
			continue
		}
		o(b)
	}
	return b
}

// refuse notes an invalid argument.
func (b *Builder) refuse(what string) { b.err = fmt.Errorf("%w: %s", discovery.ErrInvalid, what) }

// Builder makes resolvers, and knows the state of the instances of their connections
// ([Builder.Statuses]) and how their calls are split ([Builder.Split]). It is safe for concurrent
// use.
type Builder struct {
	directory *discovery.Directory
	opts      []pick.Option
	err       error // an argument makes no sense

	mu   sync.Mutex
	live []*picking // those of open resolvers, in the order in which they were built
}

var _ resolver.Builder = (*Builder)(nil)

// picking is an attribute of the resolver's state, by which it reaches the balancers. It has their
// options, and the pick.Balancer that they have made.
type picking struct {
	service string
	opts    []pick.Option
	picks   atomic.Pointer[pick.Balancer] // nil while there is none, and for other balancers than this package's
}

type pickingKey struct{}

// Statuses returns the state of each instance of a service. If several connections know an
// instance, the one made first counts. It is nil if no connection knows the service.
func (b *Builder) Statuses(service string) (list []pick.Status) {
	b.mu.Lock()
	live := slices.Clone(b.live)
	b.mu.Unlock()
	seen := make(map[key]bool)
	for _, p := range live {
		picks := p.picks.Load()
		if p.service != service || picks == nil {
			continue
		}
		for _, st := range picks.Statuses() {
			if k := keyOf(st.Instance); !seen[k] {
				seen[k] = true
				list = append(list, st)
			}
		}
	}
	return list
}

// Split returns the present split of a service's calls, see [pick.Balancer]; of several connections
// that of the first one made. It is nil if there is none, or no connection knows the service.
func (b *Builder) Split(service string) []pick.SubsetStatus {
	b.mu.Lock()
	live := slices.Clone(b.live)
	b.mu.Unlock()
	for _, p := range live {
		if picks := p.picks.Load(); p.service == service && picks != nil {
			return picks.Split()
		}
	}
	return nil
}

// drop forgets a resolver that is closed.
func (b *Builder) drop(p *picking) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.live = slices.DeleteFunc(b.live, func(other *picking) bool { return other == p })
}

// splitOf is the service's split, which reaches the balancers in the same way. gRPC compares it by
// Equal.
type splitOf struct{ discovery.Split }

type splitKey struct{}

func (s splitOf) Equal(o any) bool {
	other, ok := o.(splitOf)
	return ok && maps.Equal(s.Split, other.Split)
}

// Scheme implements gRPC's Builder.
func (*Builder) Scheme() string { return scheme }

// Build starts a resolver. It fails if the target names no service, and if the directory is invalid
// or closed.
func (b *Builder) Build(
	target resolver.Target,
	cc resolver.ClientConn,
	_ resolver.BuildOptions,
) (resolver.Resolver, error) {
	service := target.Endpoint()
	if service == "" {
		return nil, fmt.Errorf(
			"grpcdisc: the target %q names no service; write %s:///SERVICE",
			target.URL.String(),
			scheme,
		)
	}
	if b.err != nil {
		return nil, fmt.Errorf("grpcdisc: service %q: %w", service, b.err)
	}
	sub, err := b.directory.Subscribe(service)
	if err != nil {
		return nil, fmt.Errorf("grpcdisc: service %q: %w", service, err)
	}
	r := &follower{
		b:       b,
		service: service,
		sub:     sub,
		cc:      cc,
		picking: &picking{service: service, opts: b.opts},
		group:   worker.New(context.Background()),
	}
	b.mu.Lock()
	b.live = append(b.live, r.picking)
	b.mu.Unlock()
	r.group.Go(r.run)
	return r, nil
}

// follower is a resolver. Its goroutine, run, makes all calls to cc.
type follower struct {
	b       *Builder
	service string
	sub     *discovery.Subscription
	cc      resolver.ClientConn
	picking *picking
	group   *worker.Group
}

// ResolveNow implements gRPC's Resolver. There is nothing to do: the service is watched.
func (r *follower) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements gRPC's Resolver.
func (r *follower) Close() {
	r.group.Cancel()
	r.sub.Close()
	r.group.Stop()
	r.b.drop(r.picking)
}

func (r *follower) run(ctx context.Context) {
	first, cancel := context.WithTimeout(ctx, patience)
	err := r.sub.Ready(first)
	cancel()
	if err != nil && ctx.Err() == nil {
		r.fail("etcd has not said yet what there is: %v", err)
	}
	for updated := false; ; updated = true {
		c, err := r.sub.Next(ctx)
		if err != nil {
			return // what gRPC knows stays
		}
		if !updated || c.Resplit || len(c.Added)+len(c.Updated)+len(c.Removed) > 0 {
			begin := time.Now()
			r.tell(c.View)
			if backoff.Sleep(ctx, max(restLeast, restFactor*time.Since(begin))) != nil {
				return
			}
		}
	}
}

func (r *follower) tell(v *discovery.View) {
	list := make([]*discovery.Instance, 0, v.Len())
	for in := range v.All() {
		if !in.IsDraining() {
			list = append(list, in)
		}
	}
	s := state(list)
	s.Attributes = attributes.New(pickingKey{}, r.picking).WithValue(splitKey{}, splitOf{v.Split()})
	// An error means that the balancer refuses the addresses. It would refuse them again.
	_ = r.cc.UpdateState(s)
	if len(s.Endpoints) == 0 {
		// Balancers say "zero addresses" by themselves, and do not name the service.
		r.fail("no instance to call: %d registered, %d of them draining", v.Len(), v.Draining())
	}
}

// fail reports to gRPC why calls fail. It passes only the text: an error with a status would end
// calls that are willing to wait.
func (r *follower) fail(format string, args ...any) {
	r.cc.ReportError(fmt.Errorf("grpcdisc: service %q: %s", r.service, fmt.Sprintf(format, args...)))
}
