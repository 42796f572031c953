package migrate

import (
	_ "embed"
	"strings"
)

// namesText lists what our packages export: a line for each, the path and then the names. A test
// keeps it current.
//
//go:embed names.txt
var namesText string

var names = func() map[string]map[string]bool {
	all := make(map[string]map[string]bool)
	for line := range strings.Lines(namesText) {
		f := strings.Fields(line)
		set := make(map[string]bool, len(f))
		for _, n := range f[1:] {
			set[n] = true
		}
		all[f[0]] = set
	}
	return all
}()

// exported reports whether a package of ours exports a name. It reports true for packages that are
// not ours, of which it knows nothing.
func exported(path, name string) bool {
	set, ok := names[path]
	if !ok {
		return !strings.HasPrefix(path, ours)
	}
	return set[name]
}
