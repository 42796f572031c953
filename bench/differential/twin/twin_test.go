package twin_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead-go/fairlead/bench/differential/twin"
)

// TestCurrent: package fairlead is what go generate makes of package official, except for side.go.
func TestCurrent(t *testing.T) {
	for dir, own := range map[string]int{"..": 1, "../../speed": 0} {
		want, err := twin.Files(filepath.Join(dir, "official"))
		if err != nil {
			t.Fatal(err)
		}
		if len(want) == 0 {
			t.Fatal("no files")
		}
		for name, text := range want {
			if bytes.Contains(text, []byte("// Package official")) {
				t.Errorf("%s of %s keeps the package comment of official: ours.Replace has another one", name, dir)
			}
			got, err := os.ReadFile(filepath.Join(dir, "fairlead", name))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, text) {
				t.Errorf("%s of %s is stale: run go generate in official", name, dir)
			}
		}
		names, err := filepath.Glob(filepath.Join(dir, "fairlead", "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		if len(names) != len(want)+own {
			t.Errorf("%d files for %d of package official: %v", len(names), len(want), names)
		}
	}
}
