package discovery

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Naming is the format of etcd's own naming package
// ([github.com/fairlead-go/fairlead/clientv3/naming/endpoints]): an address and metadata of any
// kind under TARGET/ID. The other fields of an [Instance] go into the metadata, as an object.
// Metadata by others that is an object of strings becomes [Instance.Metadata]; any other kind
// becomes its entry "metadata", as JSON. More than one address is [ErrInvalid]. For services whose
// names begin with each other's, see [Raw].
type Naming struct {
	Base string // goes before the target; ends in "/" unless it is empty
}

type namingRecord struct {
	Op       int
	Addr     string
	Metadata any
}

// The names of an instance's fields in the metadata. They are kratos' where kratos has them.
const (
	keyVersion  = "version"
	keyZone     = "zone"
	keyWeight   = "weight"
	keyTags     = "tags"
	keyState    = "state"
	keyMetadata = "metadata"
)

// Prefix implements [Format].
func (f Naming) Prefix(service string) string { return f.Base + service + "/" }

// Key implements [Format].
func (f Naming) Key(in *Instance) string { return f.Prefix(in.Service) + in.ID }

// Marshal implements [Format].
func (f Naming) Marshal(in *Instance) ([]byte, error) {
	a, err := oneAddress(in)
	if err != nil {
		return nil, err
	}
	r := namingRecord{Addr: a}
	if m := flatten(in); len(m) > 0 {
		r.Metadata = m
	}
	return json.Marshal(r)
}

// Unmarshal implements [Format].
func (f Naming) Unmarshal(service, key string, value []byte) (*Instance, error) {
	id, err := lastPart(f.Prefix(service), key)
	if err != nil {
		return nil, err
	}
	var r struct {
		Addr     string
		Metadata json.RawMessage
	}
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, err
	}
	in := &Instance{Service: service, ID: id, Addresses: []string{r.Addr}}
	var texts map[string]string
	if len(r.Metadata) > 0 && string(r.Metadata) != "null" {
		if json.Unmarshal(r.Metadata, &texts) != nil {
			texts = map[string]string{keyMetadata: string(r.Metadata)}
		}
	}
	if err := in.unflatten(texts); err != nil {
		return nil, err
	}
	return in, in.Validate()
}

// flatten turns an instance's fields, except its address, into strings.
func flatten(in *Instance) map[string]string {
	m := make(map[string]string, len(in.Metadata)+5)
	for k, v := range in.Metadata {
		m[k] = v
	}
	set := func(k, v string) {
		if v != "" {
			m[k] = v
		}
	}
	set(keyVersion, in.Version)
	set(keyZone, in.Zone)
	if in.Weight > 0 {
		m[keyWeight] = strconv.Itoa(in.Weight)
	}
	if len(in.Tags) > 0 {
		text, _ := json.Marshal(in.Tags) // a list of texts always can be
		m[keyTags] = string(text)
	}
	if in.State == Draining {
		m[keyState] = string(in.State)
	}
	return m
}

// unflatten is the reverse of flatten. It keeps the map.
func (in *Instance) unflatten(m map[string]string) error {
	take := func(k string) string {
		v := m[k]
		delete(m, k)
		return v
	}
	in.Version, in.Zone = take(keyVersion), take(keyZone)
	if w := take(keyWeight); w != "" {
		n, err := strconv.ParseFloat(w, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("the weight %q is no number of at least 0", w)
		}
		in.Weight = int(min(n, MaxWeight))
	}
	if t := take(keyTags); t != "" && json.Unmarshal([]byte(t), &in.Tags) != nil {
		in.Tags = []string{t}
	}
	in.State = State(take(keyState))
	if len(m) > 0 {
		in.Metadata = m
	}
	return nil
}
