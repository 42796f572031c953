// Package columns measures text as a terminal shows it: most characters take a column, East Asian
// ones and emoji take two, and marks that are put over others none.
package columns

import (
	"unicode"

	"golang.org/x/text/width"
)

// Width is how many columns s takes.
func Width(s string) (n int) {
	for _, r := range s {
		n += of(r)
	}
	return n
}

func of(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Cut shortens s to at most limit columns, the last of which then shows that something is missing.
func Cut(s string, limit int) string {
	if Width(s) <= limit {
		return s
	}
	n := 0
	for i, r := range s {
		if n += of(r); n > limit-1 {
			if limit < 1 {
				return ""
			}
			return s[:i] + "…"
		}
	}
	return s
}
