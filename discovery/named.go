package discovery

import (
	"fmt"
	"slices"
	"strings"
)

// FormatNames returns the names that [NamedFormat] knows, for command lines and configuration
// files.
func FormatNames() []string { return []string{"json", "raw", "naming", "kratos", "gozero"} }

// NamedFormat returns a format by its name: "json" ([JSON]), "raw" ([Raw], go-kit's), "naming"
// ([Naming], etcd's own), "kratos" ([Kratos]) or "gozero" ([GoZero]). base is the prefix of its
// keys; a missing slash at the end is added. If base is empty, the format's usual base applies.
// prefix is the prefix of all services' keys: base, or the usual one, which is empty for formats
// that have none. For another name it returns an error.
func NamedFormat(name, base string) (f Format, prefix string, err error) {
	if base != "" && !strings.HasSuffix(base, "/") {
		base += "/"
	}
	usual := ""
	switch name {
	case "json":
		f, usual = JSON{Base: base}, DefaultBase
	case "raw":
		f = Raw{Base: base}
	case "naming":
		f = Naming{Base: base}
	case "kratos":
		f, usual = Kratos{Base: base}, kratosBase
	case "gozero":
		f = GoZero{Raw: Raw{Base: base}}
	default:
		known := FormatNames()
		slices.Sort(known)
		return nil, "", fmt.Errorf("discovery: no format %q: have %s", name, strings.Join(known, ", "))
	}
	if base == "" {
		base = usual
	}
	return f, base, nil
}
