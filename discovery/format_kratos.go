package discovery

import (
	"encoding/json"
	"fmt"
	"strings"
)

const kratosBase = "/microservices/"

// kratosWeight is the weight that kratos assumes for a node without one.
const kratosWeight = 100

// Kratos is the format of go-kratos: an object under /microservices/NAME/ID. A record without a
// weight has 100, as in kratos; so does an [Instance] whose Weight is 0.
type Kratos struct {
	Base string // "/microservices/" if empty; ends in "/"
}

type kratosRecord struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Version   string            `json:"version"`
	Metadata  map[string]string `json:"metadata"`
	Endpoints []string          `json:"endpoints"`
}

func (f Kratos) base() string {
	if f.Base == "" {
		return kratosBase
	}
	return f.Base
}

// Prefix implements [Format].
func (f Kratos) Prefix(service string) string { return f.base() + service + "/" }

// Key implements [Format].
func (f Kratos) Key(in *Instance) string { return f.Prefix(in.Service) + in.ID }

// Marshal implements [Format]. Kratos needs URLs: an address without a scheme becomes one of gRPC.
func (f Kratos) Marshal(in *Instance) ([]byte, error) {
	if strings.Contains(in.ID, "/") {
		return nil, invalid("the id %q has a slash, which kratos cannot have", in.ID)
	}
	r := kratosRecord{ID: in.ID, Name: in.Service, Version: in.Version, Metadata: flatten(in)}
	delete(r.Metadata, keyVersion)
	for _, a := range in.Addresses {
		if !strings.Contains(a, "://") {
			a = "grpc://" + a
		}
		r.Endpoints = append(r.Endpoints, a)
	}
	return json.Marshal(r)
}

// Unmarshal implements [Format].
func (f Kratos) Unmarshal(service, key string, value []byte) (*Instance, error) {
	if _, err := lastPart(f.Prefix(service), key); err != nil {
		return nil, err
	}
	var r kratosRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, err
	}
	if r.Name != service {
		return nil, fmt.Errorf("the record says %s/%s", r.Name, r.ID)
	}
	in := &Instance{Service: service, ID: r.ID, Addresses: r.Endpoints}
	if err := in.unflatten(r.Metadata); err != nil {
		return nil, err
	}
	in.Version = r.Version
	if in.Weight == 0 {
		in.Weight = kratosWeight
	}
	return in, in.Validate()
}
