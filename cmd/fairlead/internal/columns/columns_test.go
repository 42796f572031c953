package columns

import (
	"slices"
	"testing"
)

func TestWidth(t *testing.T) {
	for s, want := range map[string]int{"": 0, "abc": 3, "é": 1, "e\u0301": 1, "日本": 4, "🙂": 2, "│─": 2, "\u200b": 0} {
		if got := Width(s); got != want {
			t.Errorf("%q takes %d, want %d", s, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		s     string
		limit int
		want  string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"日本語", 6, "日本語"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"}, {"日本語", 1, "…"},
		{"ab", 0, ""}, {"", 0, ""},
	} {
		got := Cut(c.s, c.limit)
		if got != c.want || Width(got) > c.limit {
			t.Errorf("Cut(%q, %d) = %q, want %q", c.s, c.limit, got, c.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		label, text string
		limit       int
		want        []string
	}{
		{"", "fits", 10, []string{"fits"}},
		{"", "", 10, []string{""}},
		{"a: ", "one two three", 9, []string{"a: one", "  two", "  three"}},
		{"a: ", "one two three", 10, []string{"a: one two", "  three"}},
		{"", "averyverylongword and more", 10, []string{"averyverylongword", "  and more"}},
		{"label: ", "averyverylongword", 10, []string{"label: averyverylongword"}},
		{"", "  indented text is", 12, []string{"  indented", "  text is"}},
		{"", "columns   stay  where there is room", 20, []string{"columns   stay", "  where there is", "  room"}},
		{"", "日本語 日本語", 8, []string{"日本語", "  日本語"}},
		{"", "ends in blanks   ", 14, []string{"ends in blanks"}},
	} {
		if got := Wrap(c.label, c.text, "  ", c.limit); !slices.Equal(got, c.want) {
			t.Errorf("%q, %q, %d: %q, want %q", c.label, c.text, c.limit, got, c.want)
		}
	}
}
