package grpcdisc

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"

	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/pick"
)

// config is that of a balancer in a service config; the package documentation has its
// fields.
type config struct {
	serviceconfig.LoadBalancingConfig `json:"-"`

	settings
}

// settings can be compared.
type settings struct {
	Zone       string           `json:"zone"`
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

// duration is one as text, "1m30s".
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
	e := c.Ejection
	if c.SpillOver < 0 || c.Subset < 0 || c.WarmUp < 0 || e.Failures < 0 || e.Base < 0 || e.Max < 0 || e.Share < 0 || e.Share > 1 {
		return nil, fmt.Errorf("grpcdisc: the configuration of %s: a number is out of range in %s", b.name, text)
	}
	return c, nil
}

// options are the settings for package pick. The subset is not among them: gRPC is to
// connect to no more than that.
func (s *settings) options() []pick.Option {
	opts := []pick.Option{pick.WithLatency(), pick.WithZone(s.Zone), pick.WithSpillOver(s.SpillOver), pick.WithWarmUp(time.Duration(s.WarmUp))}
	if s.NoEjection {
		return append(opts, pick.WithoutEjection())
	}
	return append(opts, pick.WithEjection(pick.Ejection{
		Failures: s.Ejection.Failures, Base: time.Duration(s.Ejection.Base), Max: time.Duration(s.Ejection.Max), Share: s.Ejection.Share,
	}))
}

// few are the endpoints to connect to: those that the filter takes, and with a subset that many of all, and of each
// subset of the split; with a zone that many there, and that many elsewhere.
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
	chosen := make(map[key]bool)
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
		choose(func(in *discovery.Instance) bool { return f.Matches(in) && (s.Zone == "" || in.Zone == s.Zone) })
		choose(func(in *discovery.Instance) bool { return f.Matches(in) && s.Zone != "" && in.Zone != s.Zone })
	}
	var few []resolver.Endpoint
	for _, e := range list {
		if chosen[keyOf(instanceOf(e))] {
			few = append(few, e)
		}
	}
	return few
}

// instanceOf is the endpoint's instance, or makes one of its address.
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
