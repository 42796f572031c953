package etcd

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/go-kratos/kratos/v2/registry"

	"github.com/fairlead-go/fairlead/discovery"
)

const (
	metaWeight = "weight" // where kratos' selectors look
	// usualWeight is the weight that they assume for a node without one.
	usualWeight = 100
)

// records reads what kratos stores and keeps the metadata as they are: unlike [discovery.Kratos],
// it interprets none of them except the weight.
type records struct {
	base string // ends in "/"
}

// Prefix implements [discovery.Format].
func (f records) Prefix(service string) string { return f.base + service + "/" }

// Key implements [discovery.Format].
func (f records) Key(in *discovery.Instance) string { return f.Prefix(in.Service) + in.ID }

// Marshal implements [discovery.Format].
func (f records) Marshal(in *discovery.Instance) ([]byte, error) { return json.Marshal(service(in)) }

// Unmarshal implements [discovery.Format].
func (f records) Unmarshal(name, key string, value []byte) (*discovery.Instance, error) {
	id := strings.TrimPrefix(key, f.Prefix(name))
	if id == key || id == "" || strings.Contains(id, "/") {
		return nil, discovery.ErrNotInstance
	}
	var s registry.ServiceInstance
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, err
	}
	if s.Name != name {
		return nil, fmt.Errorf("the record says %s/%s", s.Name, s.ID)
	}
	in := &discovery.Instance{
		Service: s.Name, ID: s.ID, Version: s.Version, Addresses: s.Endpoints, Metadata: s.Metadata,
		Weight: weightOf(s.Metadata),
	}
	return in, in.Validate()
}

// weightOf returns the weight as kratos reads it: a senseless one counts as none.
func weightOf(metadata map[string]string) int {
	w, err := strconv.ParseInt(metadata[metaWeight], 10, 64)
	if err != nil || w < 1 {
		return usualWeight
	}
	return int(min(w, discovery.MaxWeight))
}

// service returns an instance as kratos knows it. A weight that differs from the record's is an
// operator's.
func service(in *discovery.Instance) *registry.ServiceInstance {
	metadata := maps.Clone(in.Metadata)
	if w := in.EffectiveWeight(); w != weightOf(metadata) {
		if metadata == nil {
			metadata = make(map[string]string, 1)
		}
		metadata[metaWeight] = strconv.Itoa(w)
	}
	return &registry.ServiceInstance{
		ID: in.ID, Name: in.Service, Version: in.Version, Metadata: metadata,
		Endpoints: append([]string(nil), in.Addresses...),
	}
}

// list returns the instances of a view that take calls: kratos knows no draining.
func list(v *discovery.View) []*registry.ServiceInstance {
	all := make([]*registry.ServiceInstance, 0, v.Len())
	for in := range v.All() {
		if !in.IsDraining() {
			all = append(all, service(in))
		}
	}
	return all
}
