package discovery

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// named has the formats and their usual bases, by name; a base of "" is none.
var named = []struct {
	name  string
	usual string
	make  func(base string) Format
}{
	{"json", DefaultBase, func(base string) Format { return JSON{Base: base} }},
	{"raw", "", func(base string) Format { return Raw{Base: base} }},
	{"naming", "", func(base string) Format { return Naming{Base: base} }},
	{"kratos", kratosBase, func(base string) Format { return Kratos{Base: base} }},
	{"gozero", "", func(base string) Format { return GoZero{Raw: Raw{Base: base}} }},
}

// FormatNames returns the names that [NamedFormat] knows, for command lines and configuration
// files.
func FormatNames() (names []string) {
	for _, f := range named {
		names = append(names, f.name)
	}
	return names
}

// NamedFormat returns a format by its name: "json" ([JSON]), "raw" ([Raw], go-kit's), "naming"
// ([Naming], etcd's own), "kratos" ([Kratos]) or "gozero" ([GoZero]). base is the prefix of its
// keys; a missing slash at the end is added. If base is empty, the format's usual base applies.
// prefix is the prefix of all services' keys: base, or the usual one, which is empty for formats
// that have none. For another name it returns an error.
func NamedFormat(name, base string) (f Format, prefix string, err error) {
	if base != "" && !strings.HasSuffix(base, "/") {
		base += "/"
	}
	for _, known := range named {
		if known.name == name {
			return known.make(base), cmp.Or(base, known.usual), nil
		}
	}
	names := FormatNames()
	slices.Sort(names)
	return nil, "", fmt.Errorf("discovery: no format %q: have %s", name, strings.Join(names, ", "))
}
