package twin_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead-go/fairlead/bench/differential/twin"
)

// TestCurrent: package fairlead is what go generate makes of package official.
func TestCurrent(t *testing.T) {
	want, err := twin.Files("../official")
	if err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 {
		t.Fatal("no files")
	}
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join("../fairlead", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, text) {
			t.Errorf("%s is stale: run go generate in ../official", name)
		}
	}
	names, err := filepath.Glob("../fairlead/*.go")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != len(want)+1 { // and side.go
		t.Errorf("%d files for %d of package official: %v", len(names), len(want), names)
	}
}
