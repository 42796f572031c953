package main

import (
	"slices"
	"strings"
	"testing"
)

func TestTooWide(t *testing.T) {
	long := strings.Repeat("x", 118)
	goFile := strings.Join([]string{
		"package p", // 1
		"// " + long,
		"//\t" + long,
		"//   " + long,
		"//go:generate " + long,
		"var a = `" + long,
		long + "x",
		"`",
		"var b = \"" + long + "\"", // 9
		"\t\tvar c" + long[11:],
		"\t\tvar c" + long[9:], // 11
		"var d = \"" + strings.Repeat("é", 110) + "\"",
	}, "\n")
	jsFile := strings.Join([]string{"const a = `" + long, long + "xxx", "`", "const b" + long}, "\n")
	for file, want := range map[string][]string{
		"a.go": {"a.go:2: 121 columns", "a.go:9: 128 columns", "a.go:11: 122 columns"},
		"a.js": {"a.js:4: 125 columns"},
	} {
		text := map[string]string{"a.go": goFile, "a.js": jsFile}[file]
		if got := tooWide(file, []byte(text)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}
