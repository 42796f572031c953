//go:build kubernetes || gozero

package dropin

import (
	"os"
	"path/filepath"
	"testing"
)

// example copies one of dropin/examples, since its go.mod changes.
func example(t *testing.T, name string) *project {
	t.Helper()
	p := &project{dir: t.TempDir(), env: append(environ(), "GOWORK=off", "GOFLAGS=-trimpath")}
	if err := os.CopyFS(p.dir, os.DirFS(filepath.Join(root, "dropin", "examples", name))); err != nil {
		t.Fatal(err)
	}
	return p
}
