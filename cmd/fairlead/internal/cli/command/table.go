package command

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/columns"
)

// table is drawn as by etcdctl: light lines, centred headers, cells aligned to the right.
type table struct {
	header []string
	rows   [][]string
}

// writeTable draws a table if it fits into limit columns (0: no limit), otherwise its rows as
// lists.
func writeTable(w io.Writer, t table, limit int) {
	widths := make([]int, len(t.header))
	for _, row := range append([][]string{t.header}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], columns.Width(cell))
		}
	}
	total := 1
	for _, n := range widths {
		total += n + 3
	}
	if limit > 0 && total > limit {
		writeLists(w, t)
		return
	}
	rule := func(left, middle, right string) {
		parts := make([]string, len(widths))
		for i, n := range widths {
			parts[i] = strings.Repeat("─", n+2)
		}
		fmt.Fprintln(w, left+strings.Join(parts, middle)+right)
	}
	line := func(row []string, pad func(string, int) string) {
		parts := make([]string, len(widths))
		for i, n := range widths {
			parts[i] = " " + pad(row[i], n) + " "
		}
		fmt.Fprintln(w, "│"+strings.Join(parts, "│")+"│")
	}
	rule("┌", "┬", "┐")
	line(t.header, padCentre)
	rule("├", "┼", "┤")
	for _, row := range t.rows {
		line(row, padLeft)
	}
	rule("└", "┴", "┘")
}

// writeLists writes each row as lines of "header: cell": line breaks would tear a table that is
// wider than the terminal.
func writeLists(w io.Writer, t table) {
	for i, row := range t.rows {
		if i > 0 {
			fmt.Fprintln(w)
		}
		for j, cell := range row {
			if cell != "" {
				fmt.Fprintf(w, "%s: %s\n", strings.ToLower(t.header[j]), cell)
			}
		}
	}
}

func padLeft(s string, width int) string {
	return strings.Repeat(" ", width-columns.Width(s)) + s
}

func padCentre(s string, width int) string {
	room := width - columns.Width(s)
	return strings.Repeat(" ", room/2) + s + strings.Repeat(" ", room-room/2)
}

// Visible escapes, as Go does, what a terminal would act on (control characters, bytes that are not
// text).
func Visible(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// BytesText writes a size as etcdctl does: two digits, decimal units.
func BytesText(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, suffix := float64(n), ""
	for _, s := range []string{"kB", "MB", "GB", "TB", "PB"} {
		value /= unit
		suffix = s
		if value < unit-0.5 {
			break
		}
	}
	if value < 10 {
		return fmt.Sprintf("%.1f %s", value, suffix)
	}
	return fmt.Sprintf("%.0f %s", value, suffix)
}
