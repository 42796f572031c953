// Package registry has the code that the naming packages share: the records that stand for
// endpoints in etcd, and a Follower that reports changes of the records under a target.
//
// A record is one key, `<target>/<anything>`, whose value is a JSON object with the address and its
// metadata:
//
//	{"Op":0,"Addr":"1.2.3.4:80","Metadata":null}
//
// "Op" is left from the time when gRPC's own type was stored. It is written as 0 and ignored when
// it is read.
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

// Decode reads a value. The error is [ErrEmpty] for JSON with neither an address nor metadata:
// another program has written that.
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

// Prefix is the prefix of a target's keys. The slash is always added, as all programs with this
// format do: the keys of "a/" begin with "a//".
func Prefix(target string) string { return target + "/" }

// Owns reports whether a key belongs to a target.
func Owns(target, key string) bool { return strings.HasPrefix(key, Prefix(target)) }

// Equal reports whether two records are equal.
func Equal(a, b Record) bool {
	return a.Addr == b.Addr && reflect.DeepEqual(a.Metadata, b.Metadata)
}
