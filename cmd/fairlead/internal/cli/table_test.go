package cli

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	var s strings.Builder
	writeTable(&s, table{[]string{"NAME", "N"}, [][]string{{"é", "1"}, {"longer", "22"}, {"日本", "3"}}}, 0)
	want := lines(
		"┌────────┬────┐",
		"│  NAME  │ N  │",
		"├────────┼────┤",
		"│      é │  1 │",
		"│ longer │ 22 │",
		"│   日本 │  3 │",
		"└────────┴────┘",
	)
	if s.String() != want {
		t.Errorf("got\n%s\nwant\n%s", s.String(), want)
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"":            "",
		"plain é 日":   "plain é 日",
		"a\nb\x1b[2J": `a\nb\x1b[2J`,
		"\xff\xfe":    `\xff\xfe`,
		`"quoted"`:    `"quoted"`,
		"\x00\"":      `\x00\"`,
	} {
		if got := visible(in); got != want {
			t.Errorf("visible(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 28672: "29 kB", 999_600: "1.0 MB", 2147483648: "2.1 GB", 5_500_000_000_000: "5.5 TB",
	} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestSplitWords(t *testing.T) {
	got, err := splitWords(`put  key "two \"words\"\n" 'it is' --prev-kv `)
	want := []string{"put", "key", "two \"words\"\n", "it is", "--prev-kv"}
	if err != nil || strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}
