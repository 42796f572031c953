package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// small is a repository with each kind of module: the root; kit, which requires it; a program that
// requires both; one that stands in for somebody else's module; and tests, which are not released.
// The versions that they require do not exist.
var small = map[string]string{
	"go.mod":       "module github.com/example/small\n\ngo 1.26.0\n",
	"small.go":     "package small\n\nfunc Name() string { return \"small\" }\n",
	"CHANGELOG.md": "# Changelog\n\n## 0.2.0\n\n- More.\n",
	"LICENSE":      "Do with it what you like.\n",
	"kit/go.mod":   "module github.com/example/small/kit\n\ngo 1.26.0\n\nrequire github.com/example/small v0.1.0\n",
	"kit/kit.go": "package kit\n\nimport \"github.com/example/small\"\n\nfunc Name() string { return small.Name() " +
		"+ \" kit\" }\n",
	"a/prog/go.mod": "module github.com/example/small/a/prog\n\ngo 1.26.0\n\nrequire (\n\tgithub.com/example/small " +
		"v0.1.0\n\tgithub.com/example/small/kit v0.1.0\n)\n",
	"a/prog/main.go": "package main\n\nimport " +
		"(\n\t\"fmt\"\n\n\t\"github.com/example/small\"\n\t\"github.com/example/small/kit\"\n)\n\n" +
		"func main() { fmt.Println(small.Name(), kit.Name()) }\n",
	"standin/go.mod": "module example.org/other/v3\n\ngo 1.26.0\n\nrequire github.com/example/small v0.1.0\n",
	"standin/standin.go": "package other\n\nimport \"github.com/example/small\"\n\nfunc Name() string { return " +
		"small.Name() }\n",
	"standin/go.work": "go 1.26.0\n\nuse .\n\nreplace github.com/example/small => ..\n",
	"tests/go.mod": "module github.com/example/small/tests\n\ngo 1.26.0\n\nrequire github.com/example/small/kit " +
		"v0.1.0\n\nrequire github.com/example/small v0.1.0 // indirect\n",
	"tests/tests.go": "package tests\n\nimport \"github.com/example/small/kit\"\n\nvar Name = kit.Name\n",
	"go.work": "go 1.26.0\n\nuse (\n\t.\n\t./a/prog\n\t./kit\n\t./tests\n)\n\n" +
		"replace (\n\tgithub.com/example/small v0.1.0 => .\n\tgithub.com/example/small/kit v0.1.0 => ./kit\n)\n",
	".gitignore": "/out/\n",
}

var smallReleased = []string{".", "a/prog", "kit", "standin"}

// newSmall makes the small repository with some files changed, and commits it. Go finds nothing
// outside of it.
func newSmall(t *testing.T, changes map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files := maps.Clone(small)
	maps.Copy(files, changes)
	write(t, dir, files)
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOWORK", "")
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_SYSTEM", os.DevNull)
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"config", "user.name", "A"}, {"config", "user.email", "a@example.com"},
		{"add", "-A"}, {"commit", "-q", "-m", "All of it"},
	} {
		if _, err := git(t.Context(), dir, args...); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, elem ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func openSmall(t *testing.T, dir string) *repository {
	t.Helper()
	r, err := open(t.Context(), dir, smallReleased)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantError fails unless err contains all of these texts.
func wantError(t *testing.T, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", says)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
}
