package grpcdisc

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// config is the configuration of a balancer in a service config; the package documentation lists
// its fields.
type config struct {
	serviceconfig.LoadBalancingConfig `json:"-"`

	settings
}

// settings can be compared.
type settings struct {
	Zone       zones            `json:"zone"`
	SpillOver  int              `json:"spillOver"`
	Subset     int              `json:"subset"`
	Client     string           `json:"client"`
	Filter     discovery.Filter `json:"filter"`
	WarmUp     duration         `json:"warmUp"`
	NoEjection bool             `json:"noEjection"`
	Ejection   ejection         `json:"ejection"`
}

type ejection struct {
	Failures int      `json:"failures"`
	Base     duration `json:"base"`
	Max      duration `json:"max"`
	Share    float64  `json:"share"`
}

// zones is one zone, or a list of zones in their order. Here zeros separate the zones, so that
// lists can be compared.
type zones string

func (z *zones) UnmarshalJSON(text []byte) error {
	var one string
	list := []string{}
	if err := json.Unmarshal(text, &one); err == nil {
		list = []string{one}
	} else if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	*z = zones(strings.Join(list, "\x00"))
	return nil
}

// list returns the zones in their order: at least one, which may be empty.
func (z zones) list() []string { return strings.Split(string(z), "\x00") }

// duration is a duration in a service config, as text: "1m30s".
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}

// ParseConfig implements gRPC's ConfigParser. Unknown fields are left alone, as gRPC asks.
func (b balancers) ParseConfig(text json.RawMessage) (serviceconfig.LoadBalancingConfig, error) {
	c := new(config)
	if err := json.Unmarshal(text, &c.settings); err != nil {
		return nil, fmt.Errorf("grpcdisc: the configuration of %s: %w", b.name, err)
	}
	if err := c.Filter.Validate(); err != nil {
		return nil, fmt.Errorf("grpcdisc: the configuration of %s: %w", b.name, err)
	}
	if c.SpillOver < 0 || c.Subset < 0 || c.WarmUp < 0 {
		return nil, fmt.Errorf("grpcdisc: the configuration of %s: a number is out of range in %s", b.name, text)
	}
	if err := c.ejection().Validate(); err != nil {
		return nil, fmt.Errorf("grpcdisc: the configuration of %s: %w", b.name, err)
	}
	return c, nil
}

// options returns the settings for package pick. The subset is not among them: gRPC connects only
// to the instances of the subset, so there are no others.
func (s *settings) options() []pick.Option {
	zones := s.Zone.list()
	opts := []pick.Option{
		pick.WithLatency(),
		pick.WithZone(zones[0], zones[1:]...),
		pick.WithSpillOver(s.SpillOver),
		pick.WithWarmUp(time.Duration(s.WarmUp)),
	}
	if s.NoEjection {
		return append(opts, pick.WithoutEjection())
	}
	return append(opts, pick.WithEjection(s.ejection()))
}

func (s *settings) ejection() pick.Ejection {
	e := s.Ejection
	return pick.Ejection{
		Failures: e.Failures, Base: time.Duration(e.Base), Max: time.Duration(e.Max), Share: e.Share,
	}
}

// few returns the endpoints to connect to: all that match the filter, or with a subset of size n,
// n of them and n of each subset of the split. With zones it is n in each zone, and n elsewhere.
func (s *settings) few(list []resolver.Endpoint, split discovery.Split) []resolver.Endpoint {
	if s.Filter == "" && (s.Subset == 0 || len(list) <= s.Subset) {
		return list
	}
	var all []*discovery.Instance
	for _, e := range list {
		if in := instanceOf(e); s.Filter.Matches(in) {
			all = append(all, in)
		}
	}
	client := s.Client
	if client == "" {
		host, _ := os.Hostname() // without one the process id has to do
		client = fmt.Sprint(host, " ", os.Getpid())
	}
	chosen, zones := make(map[key]bool), s.Zone.list()
	choose := func(part func(*discovery.Instance) bool) {
		var list []*discovery.Instance
		for _, in := range all {
			if part(in) {
				list = append(list, in)
			}
		}
		for _, in := range pick.Subset(list, client, s.Subset) {
			chosen[keyOf(in)] = true
		}
	}
	for _, f := range append(split.Filters(), "") {
		for _, z := range zones {
			choose(func(in *discovery.Instance) bool { return f.Matches(in) && z != "" && in.Zone == z })
		}
		choose(func(in *discovery.Instance) bool {
			return f.Matches(in) && (in.Zone == "" || !slices.Contains(zones, in.Zone))
		})
	}
	var few []resolver.Endpoint
	for _, e := range list {
		if chosen[keyOf(instanceOf(e))] {
			few = append(few, e)
		}
	}
	return few
}

// instanceOf returns the endpoint's instance, or one made of its address.
func instanceOf(e resolver.Endpoint) *discovery.Instance {
	if in := Instance(e.Attributes); in != nil {
		return in
	}
	in := new(discovery.Instance)
	for _, a := range e.Addresses {
		in.Addresses = append(in.Addresses, a.Addr)
	}
	if len(in.Addresses) > 0 {
		in.ID = in.Addresses[0]
	}
	return in
}
