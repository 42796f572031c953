package discovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Format encodes instances for etcd. A format is safe for concurrent use.
//
// To add one, implement it and pass it to [WithFormat]; nothing else knows of formats.
type Format interface {
	// Prefix returns the prefix of all keys of a service.
	Prefix(service string) string
	// Key returns the key of an instance.
	Key(in *Instance) string
	// Marshal encodes an instance. It fails with [ErrReadOnly] if the format is only read, and with
	// an error that wraps [ErrInvalid] if it cannot express the instance.
	Marshal(in *Instance) ([]byte, error)
	// Unmarshal decodes the record of a service. It fails with [ErrNotInstance] for a key that is
	// no instance, such as a marker, and with any other error for a bad record. Views leave both
	// out; a bad record is reported ([WithProblems]).
	Unmarshal(service, key string, value []byte) (*Instance, error)
}

var (
	// ErrReadOnly: the format is only read.
	ErrReadOnly = errors.New("discovery: this format is only read, not written")
	// ErrNotInstance: the key does not hold an instance, and is not supposed to.
	ErrNotInstance = errors.New("discovery: not an instance")
)

// DefaultBase is the prefix of Fairlead's own records.
const DefaultBase = "/fairlead/services/"

// JSON is Fairlead's own format: the [Instance] as JSON under BASE/SERVICE/ID. Names are escaped as
// in URL paths, so they may contain anything.
type JSON struct {
	Base string // DefaultBase if empty; ends in "/"
}

func (f JSON) base() string {
	if f.Base == "" {
		return DefaultBase
	}
	return f.Base
}

// Prefix implements [Format].
func (f JSON) Prefix(service string) string { return f.base() + url.PathEscape(service) + "/" }

// Key implements [Format].
func (f JSON) Key(in *Instance) string { return f.Prefix(in.Service) + url.PathEscape(in.ID) }

// Marshal implements [Format].
func (f JSON) Marshal(in *Instance) ([]byte, error) { return json.Marshal(in) }

// Unmarshal implements [Format].
func (f JSON) Unmarshal(service, key string, value []byte) (*Instance, error) {
	in := new(Instance)
	if err := json.Unmarshal(value, in); err != nil {
		return nil, err
	}
	if in.Service != service || f.Key(in) != key {
		return nil, fmt.Errorf("the record says %s/%s", in.Service, in.ID)
	}
	return in, in.Validate()
}

// oneAddress returns the only address of an instance, for formats that have room for one.
func oneAddress(in *Instance) (string, error) {
	if len(in.Addresses) != 1 {
		return "", invalid(
			"%s/%s has %d addresses, and records of this format one",
			in.Service,
			in.ID,
			len(in.Addresses),
		)
	}
	return in.Addresses[0], nil
}

// lastPart returns the rest of a key after a prefix, if it is a single part.
func lastPart(prefix, key string) (string, error) {
	id, ok := strings.CutPrefix(key, prefix)
	if !ok || id == "" {
		return "", ErrNotInstance
	}
	return id, nil
}
