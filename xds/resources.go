package xds

// Turns what is known of a service into resources. Nothing here has a clock, a network or a lock.

import (
	"cmp"
	"iter"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairlead-go/fairlead/discovery"
)

// The kinds of resources, in the order in which changes are sent, so that clients have the
// clusters before the route that leads to them.
const (
	clusters = iota
	endpoints
	routes
	listeners
	kinds
)

// typeURLs are their names in the protocol.
var typeURLs = [kinds]string{resource.ClusterType, resource.EndpointType, resource.RouteType, resource.ListenerType}

// set is resources by kind and name. Those in a set are never changed.
type set [kinds]map[string]types.Resource

const (
	// unlimited stands for no limit: without one, clients assume 1024.
	unlimited = 1 << 30
	// judgedEvery is the interval of outlier detection that [discovery.Limits] describes.
	judgedEvery = 10 * time.Second
	// ejectedAtMost is the percentage of instances that may be ejected at once: if more fail,
	// something else is wrong.
	ejectedAtMost = 50
	// judgedAtLeast is how many instances must have had enough calls: a single one is not ejected.
	judgedAtLeast = 2
	// connectWithin is Envoy's default.
	connectWithin = 5 * time.Second
	// perPercent turns percentages with three decimals into whole numbers.
	perPercent = 1000
)

// state is what is known of a service.
type state struct {
	service   string
	instances iter.Seq[*discovery.Instance]
	split     discovery.Split
	limits    discovery.Limits
}

func stateOf(v *discovery.View) state {
	return state{v.Service(), v.All(), v.Split(), v.Limits()}
}

// resources returns the resources of a service, with clusters for the filters of its split and for
// alsoClusters, and endpoints for these and for alsoEndpoints.
func (st state) resources(
	placed []place,
	alsoClusters, alsoEndpoints []discovery.Filter,
	r *route.RouteConfiguration,
) set {
	s := set{}
	for k := range s {
		s[k] = make(map[string]types.Resource)
	}
	for _, f := range slices.Concat([]discovery.Filter{""}, st.split.Filters(), alsoClusters) {
		name := clusterName(st.service, f)
		s[clusters][name] = st.cluster(name)
		s[endpoints][name] = endpointsOf(name, f, placed)
	}
	for _, f := range alsoEndpoints {
		name := clusterName(st.service, f)
		s[endpoints][name] = endpointsOf(name, f, placed)
	}
	s[routes][st.service] = r
	s[listeners][st.service] = st.listener()
	return s
}

// place is an instance with the address that clients get.
type place struct {
	in *discovery.Instance
	at netip.AddrPort
}

// place finds the addresses of instances. Clients refuse endpoints that share an address, so only
// the first instance with an address counts; those that take work come first.
func (st state) place() []place {
	var list []place
	var later []*discovery.Instance
	used := make(map[netip.AddrPort]bool)
	put := func(in *discovery.Instance) {
		if at, ok := address(in); ok && !used[at] {
			used[at] = true
			list = append(list, place{in, at})
		}
	}
	for in := range st.instances {
		if in.IsDraining() {
			later = append(later, in)
			continue
		}
		put(in)
	}
	for _, in := range later {
		put(in)
	}
	return list
}

// address returns the first of an instance's addresses that is an IP address.
func address(in *discovery.Instance) (netip.AddrPort, bool) {
	for _, a := range in.Addresses {
		text, err := discovery.HostPort(a)
		if err != nil {
			continue
		}
		if at, err := netip.ParseAddrPort(text); err == nil && at.Addr().Zone() == "" {
			return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), true
		}
	}
	return netip.AddrPort{}, false
}

// group is what the instances of a locality have in common.
type group struct {
	zone   string
	weight int
}

func endpointsOf(name string, f discovery.Filter, placed []place) *endpoint.ClusterLoadAssignment {
	members := make(map[group][]place)
	for _, p := range placed {
		if f.Matches(p.in) || f == "" {
			g := group{strings.ToValidUTF8(p.in.Zone, "\ufffd"), p.in.EffectiveWeight()}
			members[g] = append(members[g], p)
		}
	}
	order := slices.SortedFunc(maps.Keys(members), func(x, y group) int {
		return cmp.Or(strings.Compare(x.zone, y.zone), cmp.Compare(x.weight, y.weight))
	})
	sums := make([]uint64, len(order))
	total := uint64(0)
	for i, g := range order {
		for _, p := range members[g] {
			if !p.in.IsDraining() {
				sums[i] += uint64(g.weight)
			}
		}
		total += sums[i]
	}
	part := total/math.MaxUint32 + 1 // clients refuse a greater sum
	cla := &endpoint.ClusterLoadAssignment{ClusterName: name}
	for i, g := range order {
		l := &endpoint.LocalityLbEndpoints{
			Locality: &core.Locality{Zone: g.zone, SubZone: "weight-" + strconv.Itoa(g.weight)},
			// A locality of draining instances alone gets no calls whatever its weight; 0 is not
			// allowed.
			LoadBalancingWeight: wrapperspb.UInt32(uint32(max(sums[i]/part, 1))),
		}
		slices.SortFunc(members[g], func(x, y place) int { return x.at.Compare(y.at) })
		for _, p := range members[g] {
			l.LbEndpoints = append(l.LbEndpoints, p.endpoint())
		}
		cla.Endpoints = append(cla.Endpoints, l)
	}
	return cla
}

func (p place) endpoint() *endpoint.LbEndpoint {
	health := core.HealthStatus_HEALTHY
	if p.in.IsDraining() {
		health = core.HealthStatus_DRAINING
	}
	return &endpoint.LbEndpoint{
		HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: &core.Address{
			Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
				Address:       p.at.Addr().String(),
				PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(p.at.Port())},
			}},
		}}},
		HealthStatus:        health,
		LoadBalancingWeight: wrapperspb.UInt32(uint32(p.in.EffectiveWeight())), // for Envoy
	}
}

// ads says that clients get what is named over this same stream.
func ads() *core.ConfigSource {
	return &core.ConfigSource{
		ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
		ResourceApiVersion:    core.ApiVersion_V3,
	}
}

func (st state) cluster(name string) *cluster.Cluster {
	most := uint32(unlimited)
	if st.limits.Requests > 0 {
		most = uint32(st.limits.Requests)
	}
	c := &cluster.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		EdsClusterConfig:     &cluster.Cluster_EdsClusterConfig{EdsConfig: ads(), ServiceName: name},
		ConnectTimeout:       durationpb.New(connectWithin),
		LbPolicy:             cluster.Cluster_ROUND_ROBIN,
		CircuitBreakers: &cluster.CircuitBreakers{Thresholds: []*cluster.CircuitBreakers_Thresholds{{
			MaxRequests: wrapperspb.UInt32(
				most,
			), MaxPendingRequests: wrapperspb.UInt32(most), MaxConnections: wrapperspb.UInt32(most),
		}}},
	}
	if st.limits.Failures > 0 {
		none := wrapperspb.UInt32(0)
		c.OutlierDetection = &cluster.OutlierDetection{
			Interval: durationpb.New(judgedEvery),
			BaseEjectionTime: durationpb.New(
				cmp.Or(time.Duration(st.limits.Seconds)*time.Second, discovery.DefaultEjected),
			),
			MaxEjectionPercent:            wrapperspb.UInt32(ejectedAtMost),
			EnforcingConsecutive_5Xx:      none,
			EnforcingSuccessRate:          none,
			FailurePercentageThreshold:    wrapperspb.UInt32(uint32(st.limits.Failures)),
			EnforcingFailurePercentage:    wrapperspb.UInt32(100),
			FailurePercentageMinimumHosts: wrapperspb.UInt32(judgedAtLeast),
			FailurePercentageRequestVolume: wrapperspb.UInt32(
				uint32(cmp.Or(st.limits.Calls, discovery.DefaultJudgedCalls)),
			),
		}
	}
	return c
}

// parts returns the parts of a split. A filter without instances that take work gives its part to
// the others. No parts means the whole service.
func (st state) parts(placed []place) (parts []*route.WeightedCluster_ClusterWeight, sum uint32) {
	for _, f := range st.split.Filters() {
		works := func(p place) bool { return !p.in.IsDraining() && f.Matches(p.in) }
		if st.split[f] <= 0 || !slices.ContainsFunc(placed, works) {
			continue
		}
		weight := max(uint32(math.Round(st.split[f]*perPercent)), 1)
		parts = append(parts,
			&route.WeightedCluster_ClusterWeight{Name: clusterName(st.service, f), Weight: wrapperspb.UInt32(weight)})
		sum += weight
	}
	return parts, sum
}

// action returns where calls go.
func (st state) action(placed []place) *route.RouteAction {
	action := &route.RouteAction{Timeout: durationpb.New(0)} // Envoy would end a call after 15 s
	switch parts, sum := st.parts(placed); len(parts) {
	case 0:
		action.ClusterSpecifier = &route.RouteAction_Cluster{Cluster: clusterName(st.service, "")}
	case 1:
		action.ClusterSpecifier = &route.RouteAction_Cluster{Cluster: parts[0].Name}
	default:
		split := &route.WeightedCluster{Clusters: parts}
		//lint:ignore SA1019 Clients of gRPC that are still in use refuse a sum that is not this, which is 100 by default.
		split.TotalWeight = wrapperspb.UInt32(sum)
		action.ClusterSpecifier = &route.RouteAction_WeightedClusters{WeightedClusters: split}
	}
	return action
}

// leadsTo returns the clusters of an action.
func leadsTo(action *route.RouteAction) (names []string) {
	if name := action.GetCluster(); name != "" {
		return []string{name}
	}
	for _, part := range action.GetWeightedClusters().GetClusters() {
		names = append(names, part.Name)
	}
	return names
}

// route leads all calls where the action says. The clusters in besides have routes that no call
// takes, since the first route takes all. Through these routes clients have the clusters, and
// connections to them, before a call goes there.
func (st state) route(action *route.RouteAction, besides []string) *route.RouteConfiguration {
	toAll := func(a *route.RouteAction) *route.Route {
		return &route.Route{
			Match:  &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: ""}},
			Action: &route.Route_Route{Route: a},
		}
	}
	list := []*route.Route{toAll(action)}
	for _, name := range besides {
		list = append(list, toAll(&route.RouteAction{ClusterSpecifier: &route.RouteAction_Cluster{Cluster: name}}))
	}
	return &route.RouteConfiguration{
		Name:         st.service,
		VirtualHosts: []*route.VirtualHost{{Name: st.service, Domains: []string{"*"}, Routes: list}},
	}
}

// listener is one for gRPC: it has no address, and stands for the name that a client calls.
func (st state) listener() *listener.Listener {
	return &listener.Listener{
		Name: st.service,
		ApiListener: &listener.ApiListener{ApiListener: toAny(&hcm.HttpConnectionManager{
			StatPrefix: st.service,
			RouteSpecifier: &hcm.HttpConnectionManager_Rds{
				Rds: &hcm.Rds{ConfigSource: ads(), RouteConfigName: st.service},
			},
			HttpFilters: []*hcm.HttpFilter{{
				Name: "router", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: toAny(&router.Router{})},
			}},
		})},
	}
}

// toAny packs one of our messages. This cannot fail, since the strings in it are names of
// services, which are UTF-8.
func toAny(m proto.Message) *anypb.Any {
	a := new(anypb.Any)
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic(err) // only for text that is not UTF-8
	}
	return a
}
