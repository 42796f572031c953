package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// askPassword reads a password from the terminal without showing it. Without a terminal nobody could answer, so that is an
// error and not a wait.
func (a *app) askPassword(user string) (string, error) {
	in, ok := a.env.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", errors.New("no password: give --password, or --user name:password")
	}
	return a.readHidden(in, fmt.Sprintf("Password for %s: ", user))
}

func (a *app) readHidden(in *os.File, prompt string) (string, error) {
	fmt.Fprint(a.env.Stderr, prompt)
	text, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(a.env.Stderr)
	return string(text), err
}

// newPassword asks for a user's new password, twice on a terminal. Not interactive, it is the first line of standard input.
func (a *app) newPassword(user string, interactive bool) (string, error) {
	if !interactive {
		line, err := bufio.NewReader(a.env.Stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", usageError{errors.New("standard input holds no password")}
		}
		return line, nil
	}
	in, ok := a.env.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", usageError{fmt.Errorf("no password for %s: there is no terminal to ask on; --interactive=false reads it from standard input", user)}
	}
	first, err := a.readHidden(in, fmt.Sprintf("Password of %s: ", user))
	if err != nil {
		return "", err
	}
	second, err := a.readHidden(in, fmt.Sprintf("Password of %s again: ", user))
	switch {
	case err != nil:
		return "", err
	case first == "":
		return "", usageError{errors.New("the password is empty")}
	case first != second:
		return "", usageError{errors.New("the two passwords differ")}
	}
	return first, nil
}
