package xds

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"

	"github.com/fairlead-go/fairlead/discovery"
)

// refers checks a set: each resource obeys the rules of its proto, and the resources that it names
// exist.
func refers(s set) error {
	for k := range kinds {
		for name, r := range s[k] {
			if v, ok := r.(interface{ ValidateAll() error }); !ok {
				return fmt.Errorf("%s cannot be checked", name)
			} else if err := v.ValidateAll(); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	for name, r := range s[listeners] {
		var m hcm.HttpConnectionManager
		if err := r.(*listener.Listener).ApiListener.ApiListener.UnmarshalTo(&m); err != nil {
			return err
		}
		if err := m.ValidateAll(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if s[routes][m.GetRds().RouteConfigName] == nil {
			return fmt.Errorf("the listener %s names no route", name)
		}
	}
	for name, r := range s[routes] {
		for _, x := range r.(*route.RouteConfiguration).VirtualHosts[0].Routes {
			sum := uint32(0)
			for _, c := range x.GetRoute().GetWeightedClusters().GetClusters() {
				sum += c.Weight.Value
			}
			//lint:ignore SA1019 it is what is tested
			if want := x.GetRoute().GetWeightedClusters().GetTotalWeight().GetValue(); sum != want {
				return fmt.Errorf("the weights of %s are %d together, not %d", name, sum, want)
			}
			for _, c := range leadsTo(x.GetRoute()) {
				if s[clusters][c] == nil {
					return fmt.Errorf("the route %s names %s, which is no cluster", name, c)
				}
			}
		}
	}
	for name, r := range s[clusters] {
		e := r.(*cluster.Cluster).EdsClusterConfig.ServiceName
		if s[endpoints][e] == nil {
			return fmt.Errorf("the cluster %s names no endpoints", name)
		}
	}
	for name, r := range s[endpoints] {
		if err := loads(r.(*endpoint.ClusterLoadAssignment)); err != nil {
			return fmt.Errorf("the endpoints of %s: %w", name, err)
		}
	}
	return nil
}

// loads checks what else clients of gRPC refuse.
func loads(cla *endpoint.ClusterLoadAssignment) error {
	where, places, sum := map[string]bool{}, map[string]bool{}, uint64(0)
	for _, l := range cla.Endpoints {
		if key := l.Locality.String(); places[key] {
			return fmt.Errorf("%s is there twice", key)
		} else {
			places[key] = true
		}
		sum += uint64(l.LoadBalancingWeight.Value)
		for _, e := range l.LbEndpoints {
			if key := e.GetEndpoint().Address.String(); where[key] {
				return fmt.Errorf("%s is there twice", key)
			} else {
				where[key] = true
			}
		}
	}
	if sum > 1<<32-1 {
		return fmt.Errorf("the weights are %d together", sum)
	}
	return nil
}

func now(st state, led map[string]led) set {
	one := &service{name: st.service, led: led}
	placed := st.place()
	return st.resources(placed, nil, nil, one.lead(st, placed, time.Now()))
}

// Whatever is registered and set, everything that is sent is valid and names only what exists.
func TestAllStatesGiveValidResources(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	for range 500 {
		var list []*discovery.Instance
		for i := range r.IntN(12) {
			in := &discovery.Instance{
				Service: "s", ID: fmt.Sprint(i), Version: pick("", "v1", "v2"), Zone: pick("", "east", "\xff"),
				Weight: r.IntN(3) * discovery.MaxWeight / 2,
				Addresses: []string{
					pick(
						"10.0.0.1:80",
						"[::ffff:10.0.0.1]:80",
						"[::1]:80",
						"[fe80::1%eth0]:80",
						"name:80",
						"bad",
						"https://10.0.0.2",
					),
				},
			}
			if r.IntN(3) == 0 {
				in.Addresses = append(in.Addresses, fmt.Sprintf("10.1.0.%d:80", i))
			}
			if r.IntN(4) == 0 {
				in.State = discovery.Draining
			}
			list = append(list, in)
		}
		st := state{service: pick("s", "subset:x:y", "a/b?c", "é"), instances: slices.Values(list)}
		switch r.IntN(3) {
		case 0:
			st.split = discovery.Split{"v1": 99.9999, "v2": 0.0001}
		case 1:
			st.split = discovery.Split{"v1": 33.333, "version=v3": 66.667}
		}
		st.limits = discovery.Limits{Requests: r.IntN(3), Failures: r.IntN(3) * 49, Seconds: r.IntN(2)}
		if err := refers(now(st, map[string]led{})); err != nil {
			t.Fatalf("%+v: %v", st, err)
		}
	}
}

// A locality has the instances of one zone and one weight. Its weight counts those that take work.
func TestLocalities(t *testing.T) {
	in := func(id, at, zone string, weight int, s discovery.State) *discovery.Instance {
		return &discovery.Instance{Service: "s", ID: id, Addresses: []string{at}, Zone: zone, Weight: weight, State: s}
	}
	list := []*discovery.Instance{
		in("a", "10.0.0.9:80", "east", 0, discovery.Draining), // d has the same address and takes work
		in("b", "10.0.0.2:80", "east", 5, ""), in("c", "10.0.0.1:80", "east", 5, discovery.Up),
		in("d", "10.0.0.9:80", "east", 5, ""), in("e", "10.0.0.3:80", "west", 7, discovery.Draining),
		in("f", "name:80", "west", 7, ""),
	}
	list[5].Addresses = append(list[5].Addresses, "[::1]:80")
	st := state{service: "s", instances: slices.Values(list)}
	got := endpointsOf("s", "", st.place())
	var text []string
	for _, l := range got.Endpoints {
		text = append(text, fmt.Sprintf("%s %s %d", l.Locality.Zone, l.Locality.SubZone, l.LoadBalancingWeight.Value))
		for _, e := range l.LbEndpoints {
			text = append(text, e.GetEndpoint().Address.GetSocketAddress().Address+" "+e.HealthStatus.String())
		}
	}
	want := []string{
		"east weight-5 15",
		"10.0.0.1 HEALTHY",
		"10.0.0.2 HEALTHY",
		"10.0.0.9 HEALTHY",
		"west weight-7 7",
		"10.0.0.3 DRAINING",
		"::1 HEALTHY",
	}
	if !slices.Equal(text, want) {
		t.Errorf("%q, want %q", text, want)
	}
	heavy := slices.Collect(func(yield func(*discovery.Instance) bool) {
		for i := range 70_000 {
			if !yield(
				in(fmt.Sprint(i), fmt.Sprintf("10.%d.%d.%d:80", i>>16, i>>8&255, i&255), "", discovery.MaxWeight, ""),
			) {
				return
			}
		}
	})
	st.instances = slices.Values(heavy)
	if err := loads(endpointsOf("s", "", st.place())); err != nil {
		t.Error(err)
	}
	if e := got.Endpoints[0].LbEndpoints[0]; e.HealthStatus != core.HealthStatus_HEALTHY ||
		e.LoadBalancingWeight.Value != 5 {
		t.Errorf("%v", e)
	}
}

// Calls go to a new cluster only when clients have had it for a while. An old cluster stays named
// for a while.
func TestCallsGoToAClusterThatClientsHave(t *testing.T) {
	list := []*discovery.Instance{
		{Service: "s", ID: "a", Addresses: []string{"10.0.0.1:80"}, Version: "v1"},
		{Service: "s", ID: "b", Addresses: []string{"10.0.0.2:80"}, Version: "v2"},
	}
	whole := state{service: "s", instances: slices.Values(list)}
	split := whole
	split.split = discovery.Split{"v1": 90, "v2": 10}
	one, at := &service{name: "s", led: map[string]led{}}, time.Now()
	check := func(st state, after time.Duration, hasten bool, to []string, besides ...string) {
		t.Helper()
		at = at.Add(after)
		list := one.lead(st, st.place(), at).VirtualHosts[0].Routes
		if got := leadsTo(list[0].GetRoute()); !slices.Equal(got, to) || one.hasten != hasten {
			t.Errorf("to %q, %v, want %q", got, one.hasten, to)
		}
		var got []string
		for _, r := range list[1:] {
			got = append(got, r.GetRoute().GetCluster())
		}
		if !slices.Equal(got, besides) {
			t.Errorf("besides %q, want %q", got, besides)
		}
	}
	parts := []string{"subset:s:v1", "subset:s:v2"}
	check(whole, 0, false, []string{"s"})
	check(split, time.Second, true, []string{"s"}, parts...)
	check(split, settleAfter-1, true, []string{"s"}, parts...)
	check(split, 1, false, parts, "s")
	check(whole, time.Second, false, []string{"s"}, parts...)
	check(split, time.Second, false, parts, "s")
	check(split, splitAfter, false, parts)
	check(whole, time.Second, true, parts, "s")
	check(whole, settleAfter, false, []string{"s"}, parts...)
	check(whole, splitAfter, false, []string{"s"})
}

func TestLimitsAreSent(t *testing.T) {
	c := state{service: "s", limits: discovery.Limits{Requests: 7, Failures: 40, Calls: 3, Seconds: 9}}.cluster("s")
	if th := c.CircuitBreakers.Thresholds[0]; th.MaxRequests.Value != 7 {
		t.Errorf("%v", th)
	}
	if o := c.OutlierDetection; o.FailurePercentageThreshold.Value != 40 ||
		o.FailurePercentageRequestVolume.Value != 3 ||
		o.BaseEjectionTime.AsDuration() != 9*time.Second {
		t.Errorf("%v", o)
	}
	c = state{service: "s"}.cluster("s")
	if th := c.CircuitBreakers.Thresholds[0]; th.MaxRequests.Value != unlimited || c.OutlierDetection != nil {
		t.Errorf("%v", c)
	}
	if a, b := (state{service: "s"}).listener(), (state{service: "s"}).listener(); !proto.Equal(a, b) {
		t.Error("a listener is not always the same")
	}
}

func FuzzClusterName(f *testing.F) {
	f.Add("s", "v1", "subset:s:v1")
	f.Add("subset:x", "", "subset:%zz:")
	f.Fuzz(func(t *testing.T, service, filter, any string) {
		if f := discovery.Filter(filter); f.Validate() == nil {
			if s, g, ok := parseCluster(clusterName(service, f)); !ok || s != service || g != f {
				t.Errorf("%q %q: %q %q %v", service, f, s, g, ok)
			}
		}
		if s, f, ok := parseCluster(any); ok && clusterName(s, f) != any {
			t.Errorf("%q: %q %q", any, s, f)
		}
	})
}
