package command

import (
	"os"

	"golang.org/x/term"
)

// minWidth is assumed for terminals that do not know their width.
const minWidth = 40

// TerminalWidth returns the width in columns of the terminal that w writes to, 0 if it is not a
// terminal.
func TerminalWidth(w any) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return minWidth
	}
	return width
}
