// Package twin turns the source for the official client into that for ours.
package twin

import (
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"strings"
)

const header = "// Code generated from package official. DO NOT EDIT.\n\n"

// own is the file that each side has for itself.
const own = "side.go"

// Files returns the files of package fairlead, made from those in the directory of package
// official.
func Files(dir string) (map[string][]byte, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for _, path := range names {
		name := filepath.Base(path)
		if name == own {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		out, err := format.Source([]byte(header + ours.Replace(string(text))))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = out
	}
	return files, nil
}

var ours = strings.NewReplacer(
	`clientv3 "go.etcd.io/etcd/client/v3"`,
	`"github.com/fairlead-go/fairlead/clientv3"`,
	`"go.etcd.io/etcd/client/v3/`,
	`"github.com/fairlead-go/fairlead/clientv3/`,
	"package official",
	"package fairlead",
	"//go:generate go run ../../differential/generate\n\n// Package official has the official client for the "+
		"benchmark. Package fairlead is made from it.\n",
	"// Package fairlead has our client for the benchmark.\n",
	"// Package official executes programs with the official client. Package fairlead is generated from\n"+
		"// it: the same source with imports of our packages. File side.go has what only one of them can do.\n",
	"// Package fairlead executes programs with our client.\n",
)
