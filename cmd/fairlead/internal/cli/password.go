package cli

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"
)

// askPassword reads a password from the terminal without showing it. Without a terminal nobody could answer, so that is an
// error and not a wait.
func (a *app) askPassword(user string) (string, error) {
	in, ok := a.env.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", errors.New("no password: give --password, or --user name:password")
	}
	fmt.Fprintf(a.env.Stderr, "Password for %s: ", user)
	text, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(a.env.Stderr)
	return string(text), err
}
