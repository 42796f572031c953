package cli

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFamilies: a family of commands uses the shared packages, and no other family.
func TestFamilies(t *testing.T) {
	const own = "fairlead/internal/cli/"
	families := []string{"access", "cluster", "coordination", "keys", "local", "services"}
	for _, dir := range append(families, "command") {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", dir, files, err)
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, imp := range file.Imports {
				if _, of, ok := strings.Cut(strings.Trim(imp.Path.Value, `"`), own); ok &&
					(slices.Contains(families, of) || dir == "command") {
					t.Errorf("%s must not import %s", name, of)
				}
			}
		}
	}
}
