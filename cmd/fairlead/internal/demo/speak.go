package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/columns"
)

// defaultWidth is for outputs that are not terminals.
const defaultWidth = 80

// speaker writes plain lines, wrapped to the terminal.
type speaker struct {
	w     io.Writer
	width int
	err   error // the first failed write; later lines are not written
}

func newSpeaker(w io.Writer) *speaker {
	s := &speaker{w: w, width: defaultWidth}
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			s.width = width
		}
	}
	return s
}

func (s *speaker) title(text string) {
	s.write("\n" + text + "\n")
}

func (s *speaker) line(format string, args ...any) {
	for _, l := range columns.Wrap("", fmt.Sprintf(format, args...), "    ", s.width-2) {
		s.write(strings.TrimRight("  "+l, " ") + "\n")
	}
}

func (s *speaker) write(text string) {
	if s.err == nil {
		_, s.err = io.WriteString(s.w, text)
	}
}

// short rounds a duration to the precision that a reader needs.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}
