package balancer

import (
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/api/v3/version"
	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"

	"github.com/fairlead-go/fairlead/internal/transport"
)

// policyName is the name of our balancing policy in gRPC.
const policyName = "fairlead_etcd"

// ServiceConfig selects the policy and bounds responses, in bytes. (A call option
// for the bound would cost an allocation per call.)
func ServiceConfig(maxRecv int) string {
	return fmt.Sprintf(
		`{"loadBalancingConfig":[{"%s":{}}],"methodConfig":[{"name":[{}],"maxResponseMessageBytes":%d}]}`,
		policyName,
		maxRecv,
	)
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

// policy is what gRPC sees of a Set. gRPC calls its methods one at a time. It gets no
// addresses: the Set itself makes connections as it needs them.
type policy struct {
	cc  balancer.ClientConn
	set *Set // nil before the first state
}

type setKey struct{}

func (p *policy) UpdateClientConnState(state balancer.ClientConnState) error {
	s, _ := state.ResolverState.Attributes.Value(setKey{}).(*Set)
	if s == nil {
		return fmt.Errorf("%w: it does not come from our resolver", balancer.ErrBadResolverState)
	}
	p.set = s
	s.change(func(now int64, fx *effects) {
		s.cc, s.online, fx.publish = p.cc, true, true
		for _, m := range s.members {
			if m.conn == nil {
				m.conn = s.dial(m, false, now, fx)
			}
		}
	})
	s.poke()
	return nil
}

// connect makes the SubConn of a new connection.
func (s *Set) connect(c *conn) {
	s.mu.Lock()
	cc := s.cc
	s.mu.Unlock()
	if cc == nil {
		return // closing
	}
	//lint:ignore SA1019 it is deprecated for more than one address
	sub, err := cc.NewSubConn([]resolver.Address{{
		Addr:       c.m.ep.Target(),
		ServerName: c.m.ep.Authority(), // gRPC's name for the :authority of calls
		Attributes: transport.WithPeer(nil, c),
		// The only way to a header on every call that costs no allocation per call.
		Metadata: &callHeader,
	}}, balancer.NewSubConnOptions{StateListener: func(st balancer.SubConnState) { s.connState(c, st) }})
	if err != nil {
		return // only when gRPC is closing
	}
	s.mu.Lock()
	c.sub = sub
	dropped := c.stage == lost
	s.mu.Unlock()
	if dropped {
		sub.Shutdown()
		return
	}
	sub.Connect()
}

// connState takes gRPC's view of a connection.
func (s *Set) connState(c *conn, st balancer.SubConnState) {
	s.change(func(now int64, fx *effects) {
		if c.stage == lost {
			return
		}
		switch st.ConnectivityState {
		case connectivity.Connecting:
			c.dialled = now
		case connectivity.Ready:
			s.connReady(c, now, fx)
		case connectivity.TransientFailure:
			s.connLost(c, st.ConnectionError, now, fx)
		case connectivity.Idle:
			if c.stage == dialing { // gRPC has waited between attempts that fail
				fx.connect = append(fx.connect, c)
			} else {
				s.connLost(c, nil, now, fx)
			}
		}
	})
	s.poke()
}

func (p *policy) ResolverError(error) {} // our resolver makes none

func (p *policy) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {} // replaced by StateListener

// Close forgets all connections; gRPC closes them itself.
func (p *policy) Close() {
	s := p.set
	if s == nil {
		return
	}
	last := false
	s.change(func(_ int64, fx *effects) {
		if last = s.cc == p.cc; !last {
			return
		}
		s.cc, s.online, s.leaving = nil, false, nil
		for _, m := range s.members {
			for _, c := range m.conns() {
				c.open(false)
				c.stage = lost
			}
			m.conn, m.next, m.bulk, m.retired, m.state = nil, nil, nil, nil, Connecting
		}
	})
	if last {
		// The connection is closed for good, by the client or by its user, who may not close the
		// client as well. There is nothing left to watch over.
		s.group.Cancel()
	}
}

func (p *policy) ExitIdle() {} // connections are made at once, always

// Resolver hands the set to gRPC.
func (s *Set) Resolver() resolver.Builder { return resolverBuilder{s} }

type resolverBuilder struct{ s *Set }

func (b resolverBuilder) Scheme() string { return Scheme }

func (b resolverBuilder) Build(
	_ resolver.Target,
	cc resolver.ClientConn,
	_ resolver.BuildOptions,
) (resolver.Resolver, error) {
	return static{}, cc.UpdateState(resolver.State{
		Attributes:    attributes.New(setKey{}, b.s),
		ServiceConfig: cc.ParseServiceConfig(ServiceConfig(b.s.cfg.MaxRecv)),
	})
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
