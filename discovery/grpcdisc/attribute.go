package grpcdisc

import (
	"fmt"
	"strings"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"

	"github.com/fairlead-go/fairlead/discovery"
)

// Instance returns the instance of an endpoint, from the attributes of its resolver.Endpoint, or
// for older balancers the BalancerAttributes of its resolver.Address. It is nil for endpoints of
// other resolvers. Do not change it.
func Instance(a *attributes.Attributes) *discovery.Instance {
	i, _ := a.Value(instanceKey{}).(instance)
	return i.in
}

type instanceKey struct{}

// instance can be compared by gRPC, which uses Equal.
type instance struct{ in *discovery.Instance }

func (i instance) Equal(o any) bool {
	other, ok := o.(instance)
	return ok && i.in.Equal(other.in)
}

func (i instance) String() string { return fmt.Sprintf("%s/%s", i.in.Service, i.in.ID) }

// endpoint describes an instance; ok is false if it has no address for gRPC.
func endpoint(in *discovery.Instance) (e resolver.Endpoint, ok bool) {
	best := 0
	for _, a := range in.Addresses {
		host, err := discovery.HostPort(a)
		if err != nil {
			continue // a format may be lenient
		}
		if r := rank(a); r > best {
			best, e.Addresses = r, nil
		} else if r < best {
			continue
		}
		e.Addresses = append(e.Addresses, resolver.Address{Addr: host})
	}
	e.Attributes = attributes.New(instanceKey{}, instance{in})
	return e, len(e.Addresses) > 0
}

// rank says how well an address fits gRPC. Some frameworks register one for each protocol.
func rank(address string) int {
	scheme, _, ok := strings.Cut(address, "://")
	switch {
	case scheme == "grpc" || scheme == "grpcs":
		return 3
	case !ok:
		return 2
	}
	return 1
}

// state has the same addresses twice, for balancers of both kinds.
func state(list []*discovery.Instance) resolver.State {
	s := resolver.State{Addresses: []resolver.Address{}, Endpoints: []resolver.Endpoint{}}
	seen := make(map[string]bool, len(list))
	for _, in := range list {
		e, ok := endpoint(in)
		if !ok || seen[e.Addresses[0].Addr] {
			continue
		}
		seen[e.Addresses[0].Addr] = true
		s.Endpoints = append(s.Endpoints, e)
		for _, a := range e.Addresses {
			//lint:ignore SA1019 it is deprecated for addresses in endpoints, which these are not
			a.BalancerAttributes = e.Attributes
			s.Addresses = append(s.Addresses, a)
		}
	}
	return s
}
