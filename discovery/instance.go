package discovery

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// State says whether an instance takes new work.
type State string

const (
	// Up is the state of an instance that takes work; the empty string means the same.
	Up State = "up"
	// Draining is the state of an instance that is about to end: it finishes its work and takes no
	// more.
	Draining State = "draining"
)

// Instance is one process that offers a service. Views share their instances: do not change them.
type Instance struct {
	Service string `json:"service"`
	// ID distinguishes the instances of a service.
	ID string `json:"id"`
	// Addresses are the addresses of the instance, the preferred first. Each is "host:port", with a
	// port from 1 to 65535, or a URL with a host.
	Addresses []string `json:"addresses"`
	Version   string   `json:"version,omitempty"`
	Zone      string   `json:"zone,omitempty"`
	// Weight is its share of the work relative to others, 1 to [MaxWeight]; 0 stands for
	// [DefaultWeight]. To take an instance out, drain it.
	Weight   int               `json:"weight,omitempty"`
	Tags     []string          `json:"tags,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	State    State             `json:"state,omitempty"`
	// Cluster is the name of the cluster that has the instance, see [WithFallback]: empty for the
	// first. Directories set it; records do not have it.
	Cluster string `json:"-"`
}

const (
	// DefaultWeight leaves room for a tenth of it and for ten times as much.
	DefaultWeight = 10
	// MaxWeight fits into the records of kratos, etcd naming and DNS too.
	MaxWeight = 65535
	// maxName bounds names and ids, in bytes: longer ones fit neither DNS nor file systems.
	maxName = 255
	// maxRecord bounds an encoded record, in bytes: all watchers hold all of them.
	maxRecord = 64 << 10
)

// ErrInvalid is wrapped by the errors for instances that cannot be registered, for invalid records,
// filters, splits and limits, and for invalid arguments and options.
var ErrInvalid = errors.New("discovery: invalid")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// Validate returns what is wrong with the instance, nil if nothing is. The error wraps
// [ErrInvalid].
func (in *Instance) Validate() error {
	if err := validName("service", in.Service); err != nil {
		return err
	}
	if err := validName("id", in.ID); err != nil {
		return err
	}
	switch {
	case len(in.Addresses) == 0:
		return invalid("%s/%s has no address", in.Service, in.ID)
	case in.Weight < 0 || in.Weight > MaxWeight:
		return invalid("the weight of %s/%s is %d, not within 0 and %d", in.Service, in.ID, in.Weight, MaxWeight)
	case in.State != "" && in.State != Up && in.State != Draining:
		return invalid("the state of %s/%s is %q", in.Service, in.ID, in.State)
	}
	for _, a := range in.Addresses {
		if _, err := HostPort(a); err != nil {
			return err
		}
	}
	return nil
}

func validName(what, name string) error {
	switch {
	case name == "":
		return invalid("the %s is empty", what)
	case len(name) > maxName:
		return invalid("the %s has %d bytes, more than %d", what, len(name), maxName)
	case !utf8.ValidString(name):
		return invalid("the %s %q is not UTF-8", what, name)
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
		return invalid("the %s %q has blanks or control characters", what, name)
	}
	return nil
}

// HostPort returns the "host:port" of an address, without scheme and path. URLs of http and https
// need no port. The error wraps [ErrInvalid].
func HostPort(address string) (string, error) {
	host := address
	if scheme, _, ok := strings.Cut(address, "://"); ok {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || scheme == "" {
			return "", invalid("the address %q does not parse", address)
		}
		host = u.Host
		if u.Port() == "" {
			switch scheme {
			case "http":
				host = net.JoinHostPort(u.Hostname(), "80")
			case "https":
				host = net.JoinHostPort(u.Hostname(), "443")
			}
		}
	}
	h, port, err := net.SplitHostPort(host)
	if n, perr := strconv.ParseUint(port, 10, 16); err == nil && port != "" && (perr != nil || n == 0) {
		return "", invalid("the port of the address %q is no number from 1 to 65535", address)
	}
	if err != nil || h == "" || port == "" || strings.ContainsAny(host, " \t\r\n") {
		return "", invalid("the address %q does not lead to a host and a port", address)
	}
	return host, nil
}

// EffectiveWeight returns Weight, or [DefaultWeight] if that is 0.
func (in *Instance) EffectiveWeight() int {
	if in.Weight <= 0 {
		return DefaultWeight
	}
	return min(in.Weight, MaxWeight)
}

// IsDraining reports that the instance takes no new work.
func (in *Instance) IsDraining() bool { return in.State == Draining }

// Equal reports whether all fields of two instances are equal.
func (in *Instance) Equal(other *Instance) bool {
	if in == nil || other == nil {
		return in == other
	}
	return in.Service == other.Service && in.ID == other.ID && in.Version == other.Version && in.Zone == other.Zone &&
		in.Cluster == other.Cluster &&
		in.EffectiveWeight() == other.EffectiveWeight() && in.IsDraining() == other.IsDraining() &&
		slices.Equal(in.Addresses, other.Addresses) &&
		slices.Equal(in.Tags, other.Tags) &&
		maps.Equal(in.Metadata, other.Metadata)
}

// clone returns a deep copy.
func (in *Instance) clone() *Instance {
	c := *in
	c.Addresses, c.Tags, c.Metadata = slices.Clone(in.Addresses), slices.Clone(in.Tags), maps.Clone(in.Metadata)
	return &c
}
