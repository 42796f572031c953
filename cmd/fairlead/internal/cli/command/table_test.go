package command

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	var s strings.Builder
	writeTable(&s, table{[]string{"NAME", "N"}, [][]string{{"é", "1"}, {"longer", "22"}, {"日本", "3"}}}, 0)
	want := strings.Join([]string{
		"┌────────┬────┐",
		"│  NAME  │ N  │",
		"├────────┼────┤",
		"│      é │  1 │",
		"│ longer │ 22 │",
		"│   日本 │  3 │",
		"└────────┴────┘",
		"",
	}, "\n")
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
		if got := Visible(in); got != want {
			t.Errorf("visible(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 28672: "29 kB", 999_600: "1.0 MB", 2147483648: "2.1 GB",
		5_500_000_000_000: "5.5 TB",
	} {
		if got := BytesText(n); got != want {
			t.Errorf("bytesText(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestNarrowTerminal(t *testing.T) {
	var s strings.Builder
	tab := table{[]string{"NAME", "VALUE"}, [][]string{{"a", strings.Repeat("x", 50)}, {"b", ""}}}
	writeTable(&s, tab, 40)
	if want := "name: a\nvalue: " + strings.Repeat("x", 50) + "\n\nname: b\n"; s.String() != want {
		t.Errorf("got\n%s\nwant\n%s", s.String(), want)
	}
	s.Reset()
	writeTable(&s, tab, 200)
	if !strings.HasPrefix(s.String(), "┌") {
		t.Error(s.String())
	}
}
