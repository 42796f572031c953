package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestListFits: each change still finds its place, and its result is still Go.
func TestListFits(t *testing.T) {
	var names []string
	for _, m := range mutants {
		if slices.Contains(names, m.name) {
			t.Errorf("two are called %s", m.name)
		}
		names = append(names, m.name)
		if m.chaos == (m.pkg != "") || m.chaos == (m.tests != "") {
			t.Errorf("%s: either tests of a package or the chaos test", m.name)
		}
		b, err := os.ReadFile(filepath.Join("..", "..", m.file))
		if err != nil {
			t.Error(err)
			continue
		}
		text, err := m.apply(string(b))
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), m.file, text, 0); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
	if len(mutants) < 27 {
		t.Errorf("%d mutants", len(mutants))
	}
}

func TestWhy(t *testing.T) {
	for _, c := range []struct{ out, want string }{
		{"--- FAIL: TestA (0.1s)\n    --- FAIL: TestA/b (0.1s)\n", "TestA/b"},
		{"something\npanic: index out of range\n", "panic: index out of range"},
		{"nothing known\n", os.ErrInvalid.Error()},
	} {
		if got := why(c.out, os.ErrInvalid); got != c.want {
			t.Errorf("%q, not %q", got, c.want)
		}
	}
}
