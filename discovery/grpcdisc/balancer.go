package grpcdisc

// A policy is a gRPC balancer. Below it, gRPC's endpointsharding keeps a pick_first for each
// endpoint, which connects to it. It reports all of them whenever one changes; that becomes
// the table of connections, and goes to a pick.Balancer as the set of instances. When the
// latter has taken it up, it notifies, and gRPC gets a new picker. gRPC calls a policy's
// methods one at a time; conns.UpdateState and publish come from other goroutines.
//
// The table is ahead of the pick.Balancer by some milliseconds. A connection that is no longer in
// it is not used, so a draining instance gets no calls once the resolver's call has returned.

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/connectivity"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// The names by which service configs ask for balancers.
const (
	RoundRobin       = "fairlead_round_robin"
	Random           = "fairlead_random"
	Weighted         = "fairlead_weighted"
	P2C              = "fairlead_p2c"
	LeastOutstanding = "fairlead_least"
	Hash             = "fairlead_hash"
)

func init() { // gRPC asks for it to happen here
	for name, p := range map[string]pick.Policy{
		RoundRobin: pick.RoundRobin(), Random: pick.Random(), Weighted: pick.Weighted(), P2C: pick.P2C(),
		LeastOutstanding: pick.LeastOutstanding(), Hash: pick.Hash(),
	} {
		balancer.Register(balancers{name, p})
	}
}

// balancers builds the balancers of one name.
type balancers struct {
	name   string
	policy pick.Policy
}

func (b balancers) Name() string { return b.name }

func (b balancers) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	p := &policy{policy: b.policy, cc: cc, opts: opts}
	p.table.Store(new(table))
	return p
}

type policy struct {
	policy pick.Policy
	cc     balancer.ClientConn
	opts   balancer.BuildOptions

	// Only gRPC's calls use these.
	settings settings
	child    balancer.Balancer // nil while there is no endpoint

	table    atomic.Pointer[table]
	streamed sync.Map // string: bool, which methods stream

	mu     sync.Mutex     // guards what follows; orders the updates to cc
	picks  *pick.Balancer // from the first state on
	conns  *conns         // child's; nil while there is no endpoint
	none   error          // why there is no endpoint
	closed bool
}

func (p *policy) UpdateClientConnState(s balancer.ClientConnState) error {
	var now settings
	if c, ok := s.BalancerConfig.(*config); ok {
		now = c.settings
	}
	own, _ := s.ResolverState.Attributes.Value(pickingKey{}).(*picking)
	split, _ := s.ResolverState.Attributes.Value(splitKey{}).(splitOf)
	p.configure(now, own, split.Split)
	s.BalancerConfig = nil // pick_first has its own
	known := len(s.ResolverState.Endpoints)
	s.ResolverState.Endpoints = now.few(s.ResolverState.Endpoints, split.Split)
	switch {
	case len(s.ResolverState.Endpoints) > 0:
	case known > 0:
		p.empty(fmt.Errorf("none of %d endpoints matches the filter %q", known, string(now.Filter)))
		return nil
	default:
		p.empty(errors.New("the resolver knows no endpoint"))
		return nil // asking again would give the same
	}
	if p.child == nil {
		c := &conns{ClientConn: p.cc, p: p}
		p.mu.Lock()
		p.conns, p.none = c, nil
		p.mu.Unlock()
		p.child = endpointsharding.NewBalancer(
			c,
			p.opts,
			balancer.Get(pickfirst.Name).Build,
			endpointsharding.Options{},
		)
	}
	s.ResolverState = pickfirst.EnableHealthListener(s.ResolverState)
	return p.child.UpdateClientConnState(s)
}

// configure makes the pick.Balancer, or replaces it if the settings have changed, and gives it the
// split.
func (p *policy) configure(now settings, own *picking, split discovery.Split) {
	p.mu.Lock()
	old := p.picks
	if old != nil && now == p.settings {
		_ = old.SetSplit(split) // it is valid, as views have no other
		p.mu.Unlock()
		return
	}
	p.settings = now
	opts := now.options()
	if own != nil {
		opts = append(opts, own.opts...)
	}
	p.picks = pick.New(p.policy, append(opts, pick.WithNotify(p.publish))...)
	_ = p.picks.SetSplit(split)
	if own != nil {
		own.picks.Store(p.picks)
	}
	if old != nil {
		p.table.Load().give(p.picks) // otherwise nothing is known yet
	}
	p.mu.Unlock()
	if old != nil {
		old.Close() // waits for publish, so without the lock
	}
}

func (p *policy) ResolverError(err error) {
	if p.child == nil { // otherwise what is known stays
		p.empty(err)
	}
}

// empty notes that there is no endpoint, and why.
func (p *policy) empty(err error) {
	if p.child != nil {
		p.child.Close() // calls under way are finished
		p.child = nil
	}
	p.mu.Lock()
	p.conns, p.none = nil, err
	t := &table{state: connectivity.TransientFailure}
	p.table.Store(t)
	if p.picks != nil {
		t.give(p.picks)
	}
	p.mu.Unlock()
	p.publish()
}

// publish gives gRPC a new picker.
func (p *policy) publish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	t := p.table.Load()
	s := balancer.State{ConnectivityState: t.state}
	switch {
	case p.none != nil:
		s.Picker = failing{p.none}
	case t.state == connectivity.Ready:
		s.Picker = &picker{p, p.picks}
	case t.state == connectivity.TransientFailure && t.failed != nil:
		s.Picker = t.failed
	default:
		s.Picker = failing{balancer.ErrNoSubConnAvailable} // a call waits
	}
	p.cc.UpdateState(s)
}

func (p *policy) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {} // not used by pick_first

func (p *policy) ExitIdle() {
	if p.child != nil {
		p.child.ExitIdle()
	}
}

func (p *policy) Close() {
	if p.child != nil {
		p.child.Close()
	}
	p.mu.Lock()
	p.closed = true
	picks := p.picks
	p.mu.Unlock()
	if picks != nil {
		picks.Close()
	}
}
