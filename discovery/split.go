package discovery

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Filter says which instances are meant, as a text: "v2" or "version=v2" are those of a version,
// "tag=canary" those with a tag, "meta.team=x" those with an entry in their metadata. Several,
// joined by commas, must all hold: "v2,tag=canary". The empty Filter takes every instance. What
// contains a comma cannot be said so.
type Filter string

const (
	filterVersion = "version"
	filterTag     = "tag"
	filterMeta    = "meta."
	// maxFilter bounds a filter, in bytes: it may come with a request.
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

// canonical is what filters have in common that say the same: "v2" and "version=v2", conditions in
// another order or twice.
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

// Validate says what is wrong with the filter; nil for nothing. The error wraps [ErrInvalid].
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

// Matches reports whether the filter takes an instance. One that is not valid takes none.
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

// Split says which part of the calls to a service, in percent, goes to which of its instances: 95
// to "v1", 5 to "v2". Those that match no filter get nothing. The empty Split is none: calls go to
// all. Package pick follows it.
type Split map[Filter]float64

const (
	// maxSplit bounds the subsets: each pick looks at them in turn.
	maxSplit = 32
	// roundedOff is what percentages such as three times 33.3333 may lack.
	roundedOff = 0.001
)

// Validate says what is wrong with the split; nil for nothing. The error wraps [ErrInvalid].
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

// Filters are those of the split in their order, which all processes agree on.
func (s Split) Filters() []Filter { return slices.Sorted(maps.Keys(s)) }

// String is the split as [ParseSplit] takes it, "v1=95 v2=5".
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
