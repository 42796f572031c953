package discovery

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Filter selects instances by a text: "v2" or "version=v2" selects those of a version, "tag=canary"
// those with a tag, "meta.team=x" those with an entry in their metadata. Several conditions, joined
// by commas, must all hold: "v2,tag=canary". The empty Filter selects every instance. Values with a
// comma cannot be expressed.
type Filter string

const (
	filterVersion = "version"
	filterTag     = "tag"
	filterMeta    = "meta."
	// maxFilter bounds a filter, in bytes: a filter may come with a request.
	maxFilter = 1024
)

// condition takes the first condition off a filter.
func (f Filter) condition() (key, value string, rest Filter, more bool) {
	first, after, more := strings.Cut(string(f), ",")
	key, value, ok := strings.Cut(first, "=")
	if !ok {
		key, value = filterVersion, first
	}
	return key, value, Filter(after), more
}

// canonical returns one form for all filters that mean the same: "v2" and "version=v2", conditions
// in another order or twice.
func (f Filter) canonical() Filter {
	var words []string
	for rest, more := f, f != ""; more; {
		var key, value string
		key, value, rest, more = rest.condition()
		words = append(words, key+"="+value)
	}
	slices.Sort(words)
	return Filter(strings.Join(slices.Compact(words), ","))
}

// Validate returns what is wrong with the filter, nil if nothing is. The error wraps [ErrInvalid].
func (f Filter) Validate() error {
	if f == "" {
		return nil
	}
	if len(f) > maxFilter {
		return invalid("a filter has %d bytes, more than %d", len(f), maxFilter)
	}
	for rest, more := f, true; more; {
		var key, value string
		key, value, rest, more = rest.condition()
		name, meta := strings.CutPrefix(key, filterMeta)
		switch {
		case value == "" || meta && name == "":
			return invalid("a condition of the filter %q is empty", string(f))
		case !meta && key != filterVersion && key != filterTag:
			return invalid(
				"the filter %q has a condition %q, which is none of version=, tag= and meta.NAME=",
				string(f),
				key,
			)
		}
	}
	return nil
}

// Matches reports whether the filter selects an instance. An invalid filter selects none.
func (f Filter) Matches(in *Instance) bool {
	for rest, more := f, f != ""; more; {
		var key, value string
		key, value, rest, more = rest.condition()
		name, meta := strings.CutPrefix(key, filterMeta)
		switch {
		case value == "":
			return false
		case meta:
			if v, ok := in.Metadata[name]; !ok || v != value {
				return false
			}
		case key == filterVersion:
			if in.Version != value {
				return false
			}
		case key != filterTag || !slices.Contains(in.Tags, value):
			return false
		}
	}
	return true
}

// Split divides the calls to a service between its instances, in percent: 95 to "v1", 5 to "v2".
// Instances that match no filter get no calls. The empty Split does not divide: calls go to all.
// Package [github.com/fairlead-go/fairlead/discovery/pick] follows it.
type Split map[Filter]float64

const (
	// maxSplit bounds the subsets: each pick looks at them in turn.
	maxSplit = 32
	// roundedOff is how far the sum may be off, for percentages such as three times 33.3333.
	roundedOff = 0.001
)

// Validate returns what is wrong with the split, nil if nothing is. The error wraps [ErrInvalid].
func (s Split) Validate() error {
	if len(s) > maxSplit {
		return invalid("a split into %d, more than %d", len(s), maxSplit)
	}
	sum, same := 0.0, make(map[Filter]Filter)
	for _, f := range s.Filters() {
		if f == "" {
			return invalid("the split %s has an empty filter", s)
		}
		if err := f.Validate(); err != nil {
			return err
		}
		if other, ok := same[f.canonical()]; ok {
			return invalid("the filters %q and %q of the split %s are the same", string(other), string(f), s)
		}
		same[f.canonical()] = f
		if p := s[f]; !(p >= 0 && p <= 100) {
			return invalid("the split %s has %v percent", s, p)
		}
		sum += s[f]
	}
	if len(s) > 0 && math.Abs(sum-100) > roundedOff {
		return invalid("the percentages of the split %s add up to %v, not to 100", s, sum)
	}
	return nil
}

// Filters returns the split's filters in their order, the same in all processes.
func (s Split) Filters() []Filter { return slices.Sorted(maps.Keys(s)) }

// String returns the split in the form that [ParseSplit] takes, "v1=95 v2=5".
func (s Split) String() string {
	var words []string
	for _, f := range s.Filters() {
		words = append(words, fmt.Sprintf("%s=%s", f, strconv.FormatFloat(s[f], 'f', -1, 64)))
	}
	return strings.Join(words, " ")
}

// ParseSplit reads a split from words such as "v1=95" and "tag=canary=5": a filter and its
// percentage. The error wraps [ErrInvalid].
func ParseSplit(words ...string) (Split, error) {
	s := make(Split, len(words))
	for _, w := range words {
		at := strings.LastIndexByte(w, '=')
		if at < 0 {
			return nil, invalid("%q is not FILTER=PERCENT", w)
		}
		f := Filter(w[:at])
		p, err := strconv.ParseFloat(w[at+1:], 64)
		if err != nil {
			return nil, invalid("the percentage %q of %q is no number", w[at+1:], w)
		}
		if _, ok := s[f]; ok {
			return nil, invalid("%q is there twice", string(f))
		}
		s[f] = p
	}
	return s, s.Validate()
}
