package nameserver

import (
	"maps"
	"slices"
	"strings"

	"github.com/fairlead-go/fairlead/discovery"
)

const (
	// maxString is the length of a character-string: RFC 1035, section 3.3.
	maxString = 255
	// maxText bounds the text about an instance, in bytes, so that every text fits into an answer.
	// Metadata that do not fit are left out as a whole.
	maxText = 8 << 10
)

// texts describes an instance as the strings of a TXT record: RFC 1464. First comes id, then
// version, zone and tags (separated by commas) if there are any, then metadata in the order of
// their keys. If a metadata key is the same as one of our names, clients use the first, which is
// ours. A text longer than 255 bytes continues in the next string: one follows every string of 255
// bytes, even if it is empty.
func texts(in *discovery.Instance) []string {
	var list []string
	size := 0
	add := func(key, value string) {
		text := quoted(key) + "=" + value
		n := len(text) + len(text)/maxString + 1
		if size+n > maxText {
			return
		}
		size += n
		for len(text) >= maxString {
			list = append(list, escaped(text[:maxString]))
			text = text[maxString:]
			if text == "" {
				list = append(list, "")
			}
		}
		if text != "" {
			list = append(list, escaped(text))
		}
	}
	add("id", in.ID)
	if in.Version != "" {
		add("version", in.Version)
	}
	if in.Zone != "" {
		add("zone", in.Zone)
	}
	if len(in.Tags) > 0 {
		add("tags", strings.Join(in.Tags, ","))
	}
	for _, k := range slices.Sorted(maps.Keys(in.Metadata)) {
		if k != "" { // an empty name would mean that there is no attribute
			add(k, in.Metadata[k])
		}
	}
	return list
}

// quoted returns an attribute's name with RFC 1464's accent grave before characters that would not
// be read as part of it: "=", the accent itself, and blanks at its ends.
func quoted(key string) string {
	if !strings.ContainsAny(key, "=` \t") {
		return key
	}
	inner := strings.Trim(key, " \t")
	start := strings.Index(key, inner)
	var b strings.Builder
	for i := range len(key) {
		outside := i < start || i >= start+len(inner)
		if outside || key[i] == '=' || key[i] == '`' {
			b.WriteByte('`')
		}
		b.WriteByte(key[i])
	}
	return b.String()
}

// escaped returns a string for the DNS library, which reads backslashes as in zone files.
func escaped(s string) string { return strings.ReplaceAll(s, `\`, `\\`) }
