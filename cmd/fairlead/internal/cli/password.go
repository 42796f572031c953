package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// askPassword reads a password from the terminal without showing it. Without a terminal nobody could answer, so that is an
// error and not a wait.
func (a *app) askPassword(ctx context.Context, user string) (string, error) {
	in, ok := a.env.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", errors.New("no password: give --password, or --user name:password")
	}
	return a.readHidden(ctx, in, fmt.Sprintf("Password for %s: ", user))
}

// readHidden ends with ctx too; the terminal then shows again what is typed.
func (a *app) readHidden(ctx context.Context, in *os.File, prompt string) (string, error) {
	before, err := term.GetState(int(in.Fd()))
	if err != nil {
		return "", err
	}
	defer fmt.Fprintln(a.env.Stderr)
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() { // a read cannot be given up: it ends with the process
		text, err := term.ReadPassword(int(in.Fd()))
		done <- result{text, err}
	}()
	fmt.Fprint(a.env.Stderr, prompt)
	select {
	case r := <-done:
		return string(r.text), r.err
	case <-ctx.Done():
		_ = term.Restore(int(in.Fd()), before)
		return "", context.Cause(ctx)
	}
}

// newPassword asks for a user's new password, twice on a terminal. Not interactive, it is the first line of standard input.
func (a *app) newPassword(ctx context.Context, user string, interactive bool) (string, error) {
	if !interactive {
		line, err := bufio.NewReader(a.stdin(ctx)).ReadString('\n')
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
	first, err := a.readHidden(ctx, in, fmt.Sprintf("Password of %s: ", user))
	if err != nil {
		return "", err
	}
	second, err := a.readHidden(ctx, in, fmt.Sprintf("Password of %s again: ", user))
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
