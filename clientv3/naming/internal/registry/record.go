// Package registry is what the naming packages share: the records that stand for
// endpoints in etcd, and a Follower that reports how the records under a target change.
//
// A record is one key, `<target>/<anything>`, whose value is a JSON object with the
// address and what is to be known about it:
//
//	{"Op":0,"Addr":"1.2.3.4:80","Metadata":null}
//
// "Op" is a remnant of the time when gRPC's own type was stored; it is written as 0
// and not looked at.
package registry

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
)

// Record is the content of one key.
type Record struct {
	Addr     string
	Metadata any
}

// stored is the format in etcd; the order and the names of the fields are part of it.
type stored struct {
	Op       uint8
	Addr     string
	Metadata any
}

// ErrEmpty says that a record has neither an address nor metadata.
var ErrEmpty = errors.New("an endpoint needs an address or metadata")

// Encode returns the value that stands for r. It fails with [ErrEmpty], and if the
// metadata cannot be written as JSON.
func Encode(r Record) (string, error) {
	if r.Addr == "" && r.Metadata == nil {
		return "", ErrEmpty
	}
	b, err := json.Marshal(stored{Addr: r.Addr, Metadata: r.Metadata})
	return string(b), err
}

// Decode reads a value. One that is JSON but has neither an address nor metadata is
// [ErrEmpty]: it belongs to somebody else.
func Decode(value []byte) (*Record, error) {
	var s stored
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, err
	}
	if s.Addr == "" && s.Metadata == nil {
		return nil, ErrEmpty
	}
	return &Record{Addr: s.Addr, Metadata: s.Metadata}, nil
}

// Prefix is what the keys of a target begin with. The slash is added whatever the
// target ends in, as all that reads and writes this format does: the keys of "a/"
// begin with "a//".
func Prefix(target string) string { return target + "/" }

// Owns reports that a key belongs to a target.
func Owns(target, key string) bool { return strings.HasPrefix(key, Prefix(target)) }

// Equal reports that two records say the same.
func Equal(a, b Record) bool {
	return a.Addr == b.Addr && reflect.DeepEqual(a.Metadata, b.Metadata)
}
