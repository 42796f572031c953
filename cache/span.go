package cache

// This file has ranges of keys. As in requests, a range is a key and an end: no end stands for the
// one key, and "\x00" for all keys that follow. Spans are compared as strings, byte by byte, as
// etcd does.

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/fairlead-go/fairlead/clientv3"
)

// noEnd in a request says that the range has no end.
const noEnd = "\x00"

// span is the keys from start up to, but not including, end; all from start on if open.
type span struct {
	start, end string
	open       bool
}

func spanOf(key, end string) span {
	switch end {
	case "":
		return span{start: key, end: key + "\x00"}
	case noEnd:
		return span{start: key, open: true}
	}
	return span{start: key, end: end}
}

func prefixSpan(prefix string) span {
	if prefix == "" {
		return span{start: "\x00", open: true} // no key is empty, so this is the least one
	}
	return spanOf(prefix, clientv3.GetPrefixRangeEnd(prefix))
}

// one reports whether the span is a single key.
func (s span) one() (key string, is bool) {
	return s.start, !s.open && len(s.end) == len(s.start)+1 && strings.HasPrefix(s.end, s.start) &&
		s.end[len(s.start)] == 0
}

// empty reports whether no key can be in the span.
func (s span) empty() bool { return !s.open && s.end <= s.start }

func (s span) has(key string) bool { return key >= s.start && (s.open || key < s.end) }

// covers reports whether all keys of o are in s.
func (s span) covers(o span) bool {
	return o.start >= s.start && (s.open || (!o.open && o.end <= s.end))
}

func (s span) overlaps(o span) bool {
	return (s.open || o.start < s.end) && (o.open || s.start < o.end)
}

// rangeEnd returns the end as a request states it.
func (s span) rangeEnd() string {
	if s.open {
		return noEnd
	}
	return s.end
}

// sortedPrefixes returns the prefixes in order, or what is wrong with them.
func sortedPrefixes(prefixes []string) ([]string, error) {
	if len(prefixes) == 0 {
		return nil, invalid("cache.New", "no prefix is given; the empty one stands for all keys")
	}
	list := slices.Sorted(slices.Values(prefixes))
	for i := 1; i < len(list); i++ {
		// In order, a prefix comes before whatever begins with it.
		if strings.HasPrefix(list[i], list[i-1]) {
			return nil, invalid("cache.New", "prefixes %q and %q overlap", list[i-1], list[i])
		}
	}
	return list, nil
}

func invalid(method, format string, args ...any) error {
	return &clientv3.Error{
		Method:     method,
		Status:     codes.InvalidArgument,
		Reason:     fmt.Sprintf(format, args...),
		Unexecuted: true,
	}
}

// find returns the feed that has the key, nil if none has.
func find(feeds []*feed, key string) *feed {
	i := 0
	if len(feeds) > 1 {
		i = sort.Search(len(feeds), func(i int) bool { return feeds[i].span.start > key }) - 1
	}
	if i < 0 || !feeds[i].span.has(key) {
		return nil
	}
	return feeds[i]
}

// findRange returns the feed that has all keys of s, nil if none has.
func findRange(feeds []*feed, s span) *feed {
	if f := find(feeds, s.start); f != nil && f.span.covers(s) {
		return f
	}
	return nil
}
