package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// askPassword reads a password: from a terminal without showing it, otherwise from the next line of
// standard input, as etcdctl does.
func (a *App) askPassword(ctx context.Context, user string) (string, error) {
	in, ok := a.Env.Stdin.(*os.File)
	if ok && term.IsTerminal(int(in.Fd())) {
		return a.readHidden(ctx, in, fmt.Sprintf("Password for %s: ", user))
	}
	password, err := a.pipedPassword(ctx)
	if errors.Is(err, errNoPassword) {
		return "", errors.New("no password: give --password, or --user name:password, or a line of standard input")
	}
	return password, err
}

var errNoPassword = errors.New("standard input holds no password")

// pipedPassword reads one line of standard input and nothing after it: the rest may be the
// command's input.
func (a *App) pipedPassword(ctx context.Context) (string, error) {
	var line []byte
	in, one := a.Stdin(ctx), make([]byte, 1)
	for {
		_, err := io.ReadFull(in, one)
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return "", err
		case err == nil && one[0] != '\n':
			line = append(line, one[0])
			continue
		}
		if line = bytes.TrimRight(line, "\r"); len(line) == 0 {
			return "", errNoPassword
		}
		return string(line), nil
	}
}

// readHidden reads a line without showing it. It ends with ctx too; then the terminal shows its
// input again.
func (a *App) readHidden(ctx context.Context, in *os.File, prompt string) (string, error) {
	before, err := term.GetState(int(in.Fd()))
	if err != nil {
		return "", err
	}
	defer fmt.Fprintln(a.Env.Stderr)
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() { // a read cannot be cancelled: it ends with the process
		text, err := term.ReadPassword(int(in.Fd()))
		done <- result{text, err}
	}()
	fmt.Fprint(a.Env.Stderr, prompt)
	select {
	case r := <-done:
		return string(r.text), r.err
	case <-ctx.Done():
		_ = term.Restore(int(in.Fd()), before)
		return "", context.Cause(ctx)
	}
}

// NewPassword asks for a user's new password twice, or reads it from two lines if it is piped. If
// it is not interactive, it reads one line of standard input.
func (a *App) NewPassword(ctx context.Context, user string, interactive bool) (string, error) {
	read := func(string) (string, error) { return a.pipedPassword(ctx) }
	if in, ok := a.Env.Stdin.(*os.File); interactive && ok && term.IsTerminal(int(in.Fd())) {
		read = func(prompt string) (string, error) { return a.readHidden(ctx, in, prompt) }
	}
	first, err := read(fmt.Sprintf("Password of %s: ", user))
	if err == nil && first == "" {
		err = errNoPassword
	}
	if err != nil || !interactive {
		return first, passwordUsage(err)
	}
	second, err := read(fmt.Sprintf("Password of %s again: ", user))
	if err == nil && first != second || errors.Is(err, errNoPassword) {
		return "", UsageError{
			errors.New("the two passwords differ; --interactive=false takes one line of standard input"),
		}
	}
	return first, err
}

// passwordUsage marks a missing password as a mistake in the command line.
func passwordUsage(err error) error {
	if errors.Is(err, errNoPassword) {
		return UsageError{err}
	}
	return err
}
