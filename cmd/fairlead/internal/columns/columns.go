// Package columns measures text in the columns of a terminal: most characters take one, East Asian
// ones and emoji take two, and combining marks take none.
package columns

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Width returns how many columns s takes.
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

// Cut shortens s to at most limit columns, the last of which then shows that text was cut off.
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

// Wrap writes text after label and breaks it at blanks into lines of at most limit columns; lines
// after the first begin with indent. The first word stays behind the label, and longer words stay
// whole.
func Wrap(label, text, indent string, limit int) (lines []string) {
	text = strings.TrimRight(text, " ")
	for {
		at := breakAt(label, text, limit)
		if at < 0 {
			return append(lines, label+text)
		}
		lines = append(lines, strings.TrimRight(label+text[:at], " "))
		label, text = indent, strings.TrimLeft(text[at:], " ")
	}
}

// breakAt returns the last blank before which text fits behind label, or the first one after a word
// that is too long; -1 if there is nothing to break.
func breakAt(label, text string, limit int) int {
	n, last, begun := Width(label), -1, false
	for i, r := range text {
		switch {
		case r == ' ' && begun && n <= limit:
			last = i
		case r == ' ' && begun && last < 0:
			return i
		}
		begun = begun || r != ' '
		n += of(r)
	}
	if n <= limit {
		return -1
	}
	return last
}
