package balancer

import (
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/api/v3/version"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"

	"github.com/fairlead-go/fairlead/internal/transport"
)

// policyName is ours among gRPC's balancing policies.
const policyName = "fairlead_etcd"

// ServiceConfig selects the policy and bounds responses, in bytes. (A call option
// for the bound would cost an allocation per call.)
func ServiceConfig(maxRecv int) string {
	return fmt.Sprintf(`{"loadBalancingConfig":[{"%s":{}}],"methodConfig":[{"name":[{}],"maxResponseMessageBytes":%d}]}`, policyName, maxRecv)
}

// Scheme is that of the target given to grpc.NewClient.
const Scheme = "fairlead-etcd"

// callHeader goes with every call; servers count their clients by version. It
// is never changed.
var callHeader = metadata.Pairs(rpctypes.MetadataClientAPIVersionKey, version.APIVersion)

func init() { balancer.Register(builder{}) } // gRPC asks for it to happen here

type builder struct{}

func (builder) Name() string { return policyName }

func (builder) Build(cc balancer.ClientConn, _ balancer.BuildOptions) balancer.Balancer {
	return &policy{cc: cc}
}

// policy is what gRPC sees of a Set. gRPC calls its methods one at a time.
type policy struct {
	cc   balancer.ClientConn
	set  *Set // from the first address on
	subs map[*Member]balancer.SubConn
}

func (p *policy) UpdateClientConnState(state balancer.ClientConnState) error {
	want := make(map[*Member]resolver.Address, len(state.ResolverState.Addresses))
	for _, a := range state.ResolverState.Addresses {
		m, _ := transport.PeerOf(a.Attributes).(*Member)
		if m == nil {
			return fmt.Errorf("%w: address %s does not come from our resolver", balancer.ErrBadResolverState, a.Addr)
		}
		want[m] = a
		p.set = m.set
	}
	if p.set == nil {
		return balancer.ErrBadResolverState
	}
	if p.subs == nil {
		p.subs = make(map[*Member]balancer.SubConn)
	}
	for m, sc := range p.subs {
		if _, ok := want[m]; !ok {
			delete(p.subs, m)
			p.set.change(func(_ int64, fx *effects) { m.sc, m.ready, fx.publish = nil, false, true })
			sc.Shutdown()
		}
	}
	var fresh []balancer.SubConn
	for m, a := range want {
		if p.subs[m] != nil {
			continue
		}
		//lint:ignore SA1019 it is deprecated for more than one address
		sc, err := p.cc.NewSubConn([]resolver.Address{a}, balancer.NewSubConnOptions{
			StateListener: func(st balancer.SubConnState) { p.set.connState(m, st) },
		})
		if err != nil {
			continue // only when gRPC is closing
		}
		p.subs[m] = sc
		fresh = append(fresh, sc)
		p.set.change(func(now int64, fx *effects) { m.sc, m.firstTry, m.tried = sc, now, false })
	}
	p.set.change(func(_ int64, fx *effects) { p.set.cc, fx.publish = p.cc, true })
	for _, sc := range fresh {
		sc.Connect()
	}
	p.set.poke()
	return nil
}

// connState takes gRPC's view of a connection.
func (s *Set) connState(m *Member, st balancer.SubConnState) {
	reconnect := false
	s.change(func(now int64, fx *effects) {
		if m.sc == nil {
			return // removed meanwhile
		}
		switch st.ConnectivityState {
		case connectivity.Ready:
			s.connReady(m, now, fx)
		case connectivity.TransientFailure:
			s.connLost(m, st.ConnectionError, now, fx)
		case connectivity.Idle:
			s.connLost(m, nil, now, fx)
			// Where we set a time it is dialled then, else at once: gRPC has its own
			// backoff between attempts that fail.
			reconnect = m.connectAt == 0
		}
	})
	if reconnect {
		s.change(func(_ int64, fx *effects) { fx.connect = append(fx.connect, m) })
	}
	s.poke()
}

func (p *policy) ResolverError(error) {} // our resolver makes none

func (p *policy) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {} // replaced by StateListener

func (p *policy) Close() {
	if p.set == nil {
		return
	}
	last := false
	p.set.change(func(_ int64, fx *effects) {
		if last = p.set.cc == p.cc; last {
			p.set.cc = nil
		}
		for m, sc := range p.subs {
			if m.sc == sc {
				m.sc, m.ready = nil, false
			}
		}
	})
	for _, sc := range p.subs {
		sc.Shutdown()
	}
	if last {
		// The connection is closed for good, by the client or by its user, who may not close the client as well. There is
		// nothing left to watch over.
		p.set.group.Cancel()
	}
}

func (p *policy) ExitIdle() {
	for _, sc := range p.subs {
		sc.Connect()
	}
}

// Resolver hands the set's members to gRPC as addresses.
func (s *Set) Resolver() resolver.Builder { return resolverBuilder{s} }

type resolverBuilder struct{ s *Set }

func (b resolverBuilder) Scheme() string { return Scheme }

func (b resolverBuilder) Build(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	b.s.mu.Lock()
	b.s.rcc = cc
	state := b.s.resolverState()
	b.s.mu.Unlock()
	return static{}, cc.UpdateState(state)
}

// OverrideAuthority is the :authority of calls until a member is picked, whose own
// takes its place.
func (b resolverBuilder) OverrideAuthority(resolver.Target) string {
	if l := b.s.Members(); len(l) > 0 {
		return l[0].ep.Authority()
	}
	return "etcd"
}

type static struct{}

func (static) ResolveNow(resolver.ResolveNowOptions) {} // names are resolved anew at each dial
func (static) Close()                                {}

// resolverState describes the members to gRPC. Callers hold mu.
func (s *Set) resolverState() resolver.State {
	st := resolver.State{Addresses: make([]resolver.Address, len(s.members))}
	if s.rcc != nil {
		st.ServiceConfig = s.rcc.ParseServiceConfig(ServiceConfig(s.cfg.MaxRecv))
	}
	for i, m := range s.members {
		st.Addresses[i] = resolver.Address{
			Addr:       m.ep.Target(),
			ServerName: m.ep.Authority(), // gRPC's name for the :authority of calls
			Attributes: transport.WithPeer(nil, m),
			//lint:ignore SA1019 the only way to a header on every call that costs no allocation per call
			Metadata: &callHeader,
		}
	}
	return st
}
