package pick

// A Balancer has nodes, which carry the measurements of instances, and a set, which picks read. A
// set is complete before it is published and never changes; the measurements in nodes are atomics.
// So Pick and Done take no lock.
//
// Two goroutines make sets, one at a time (making): follow, when the subscription has news, and
// tend, when Update brought some, an instance was ejected, comes back or warms up. Each rests after
// making one. follow asks the subscription for more only when the set is published: a draining
// instance may end then.

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/internal/backoff"
	"github.com/fairlead-go/fairlead/internal/worker"
)

const (
	// restLeast is the shortest time between two sets: a deployment changes many instances at once.
	restLeast = 10 * time.Millisecond
	// After making a set the goroutine also rests for restFactor times as long as that took.
	restFactor = 20
)

// Balancer picks instances of one service. [New] or [Follow] makes one; [Balancer.Close] ends it.
// It is safe for concurrent use.
type Balancer struct {
	err    error // an argument makes no sense; nothing is picked then
	policy Policy
	needs  needs
	config config
	epoch  time.Time
	set    atomic.Pointer[set]
	rnd    source
	total  atomic.Int64 // calls under way, if needed
	group  *worker.Group
	poke   chan struct{}  // a new set is to be made
	kinds  [kinds]average // the latency of each kind of calls, see Done.Kind
	sub    *discovery.Subscription
	loaded chan struct{} // closed when the instances are known, even if there are none

	making   sync.Mutex     // one set at a time; taken before mu
	reported []SubsetStatus // to the hooks; guarded by making

	mu      sync.Mutex
	gen     uint64 // of lists
	sets    uint64 // made
	nodes   map[key]*node
	order   []*node // the present ones, as listed
	pending *update // not yet taken; nil: none
	split   discovery.Split
	envs    map[discovery.Filter][]*env // of the split's subsets, "" of all; by level
	known   bool                        // there was a list
	out     int                         // ejected ones among the candidates
	cands   int                         // candidates: those that take work, ready or not
	closed  bool
	// returned came back since the last report of that.
	returned []*discovery.Instance
}

// update is what Update was given last.
type update struct {
	instances []*discovery.Instance
	ready     func(*discovery.Instance) bool
}

// New makes a balancer whose instances come from [Balancer.Update]. For an invalid policy or
// option, [Balancer.Pick] and [Balancer.Ready] return an error that wraps [discovery.ErrInvalid].
func New(policy Policy, opts ...Option) *Balancer {
	b := newBalancer(policy, opts)
	b.group.Go(b.tend)
	return b
}

// Follow makes a balancer whose instances are those of the subscription. The balancer takes over
// the subscription; [Balancer.Close] ends it. When it ends by itself, because its directory was
// closed, the balancer keeps the last instances.
func Follow(sub *discovery.Subscription, policy Policy, opts ...Option) *Balancer {
	b := newBalancer(policy, opts)
	if sub == nil {
		b.refuse("the subscription is nil")
		b.set.Store(&set{err: b.err})
		return b
	}
	b.sub = sub
	b.group.Go(b.tend)
	b.group.Go(b.follow)
	return b
}

func newBalancer(policy Policy, opts []Option) *Balancer {
	var err error
	if policy == nil {
		err, policy = invalid("the policy is nil"), RoundRobin()
	}
	b := &Balancer{
		err: err, policy: policy, needs: policy.needs(), config: defaults(), epoch: time.Now(),
		group: worker.New(context.Background()),
		poke:  make(chan struct{}, 1), loaded: make(chan struct{}), nodes: make(map[key]*node),
		envs: make(map[discovery.Filter][]*env),
	}
	for _, o := range opts {
		if o == nil {
			b.refuse("an option is nil")
			continue
		}
		o(b)
	}
	if b.config.spillAt > 0 {
		b.needs |= needsOutstanding
	}
	if b.err != nil {
		b.set.Store(&set{err: b.err})
		return b
	}
	b.set.Store(&set{err: &NoInstancesError{}, replaced: make(chan struct{})})
	return b
}

// now is the time on the monotonic clock, in nanoseconds from the balancer's beginning.
func (b *Balancer) now() int64 { return int64(time.Since(b.epoch)) }

// Pick chooses an instance. Report the outcome of the call to done, whatever it is.
//
// If there is no instance to choose, the error is a [*NoInstancesError], for which errors.Is with
// [ErrNoInstances] is true. It comes at once; with [WithWait] it comes when ctx has ended, and
// wraps the error of ctx too. After [Balancer.Close] the error is [discovery.ErrClosed]. The
// instance is shared: do not change it.
func (b *Balancer) Pick(ctx context.Context) (in *discovery.Instance, done Done, err error) {
	s := b.set.Load()
	if s.all == nil {
		if s, err = b.await(ctx, s); err != nil {
			return nil, Done{}, err
		}
	}
	var now int64
	if b.needs&needsLatency != 0 {
		now = b.now()
	}
	n, trial := s.choose(ctx, &b.rnd, now), false
	if b.doubtful(n, now) {
		n, trial = b.admit(ctx, s, n, now)
	}
	b.begin(n)
	return n.in.Load(), Done{b: b, n: n, began: now, trial: trial}, nil
}

// begin counts a call.
func (b *Balancer) begin(n *node) {
	if b.needs&needsOutstanding != 0 {
		n.outstanding.Add(1)
	}
	if n.passed.Load() != 0 {
		n.passed.Store(0)
	}
	if b.needs&needsTotal != 0 {
		b.total.Add(1)
	}
}

// await waits for a set with instances, if so configured.
func (b *Balancer) await(ctx context.Context, s *set) (*set, error) {
	for s.all == nil {
		if !b.config.wait || s.replaced == nil {
			return nil, s.err
		}
		select {
		case <-s.replaced:
			s = b.set.Load()
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", s.err, ctx.Err())
		}
	}
	return s, nil
}

// Ready waits until the instances are known, even if there are none.
func (b *Balancer) Ready(ctx context.Context) error {
	if b.err != nil {
		return b.err
	}
	select {
	case <-b.loaded:
		return nil
	case <-b.group.Context().Done():
		return discovery.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Update replaces the instances, for balancers made with [New]. Instances for which ready returns
// false keep their measurements, but are not picked; a nil ready means that all are ready. Update
// does not wait: the change takes effect within milliseconds. Update does not change the slice, nor
// may the caller. A goroutine of the balancer calls ready.
func (b *Balancer) Update(instances []*discovery.Instance, ready func(*discovery.Instance) bool) {
	b.mu.Lock()
	b.pending = &update{instances, ready}
	b.mu.Unlock()
	b.wake()
}

func (b *Balancer) wake() {
	select {
	case b.poke <- struct{}{}:
	default:
	}
}

// follow takes over the changes of the subscription.
func (b *Balancer) follow(ctx context.Context) {
	for {
		c, err := b.sub.Next(ctx)
		if err != nil {
			return // closed
		}
		b.mu.Lock()
		b.pending, b.split = &update{c.View.Instances(), nil}, c.View.Split()
		b.mu.Unlock()
		due, pause := b.remake()
		if due != never {
			b.wake() // tend makes the set
		}
		if backoff.Sleep(ctx, pause) != nil {
			return
		}
	}
}

// tend makes sets when something is due.
func (b *Balancer) tend(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-b.poke:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		due, pause := b.remake()
		if backoff.Sleep(ctx, pause) != nil {
			return
		}
		timer.Reset(max(due-pause, 0))
	}
}

// remake makes and publishes a set. It returns when the next is due and how long to rest.
func (b *Balancer) remake() (due, pause time.Duration) {
	b.making.Lock()
	defer b.making.Unlock()
	begin := time.Now()
	b.mu.Lock()
	u := b.pending
	b.pending = nil
	b.mu.Unlock()
	var ready []bool
	if u != nil && u.ready != nil { // asked without the lock
		for _, in := range u.instances {
			ready = append(ready, u.ready(in))
		}
	}
	b.mu.Lock()
	first := u != nil && !b.known
	if u != nil {
		b.adopt(u.instances, ready)
	}
	due = b.publish()
	returned := b.returned
	b.returned = nil
	split := b.set.Load().split
	b.mu.Unlock()
	b.reportReturned(returned)
	b.reportSplit(split)
	if first {
		close(b.loaded)
	}
	if b.config.notify != nil {
		b.config.notify()
	}
	return due, max(restLeast, restFactor*time.Since(begin))
}

// Close ends the balancer and its subscription. Waiting picks end, and later ones fail. Earlier
// picks may still be reported.
func (b *Balancer) Close() {
	b.group.Cancel()
	if b.sub != nil {
		b.sub.Close()
	}
	b.group.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.replace(&set{err: discovery.ErrClosed})
	}
}
