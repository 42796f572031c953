// Release makes releases of Fairlead's modules, and checks that users can use them.
// docs/release.md describes a release.
//
//	go run ./tools/release check v0.2.0    # make release-check VERSION=v0.2.0: users of the working tree, as a release
//	go run ./tools/release make v0.2.0     # make release VERSION=v0.2.0: the same, then a commit and the tags
//	go run ./tools/release tidy            # make tidy: go mod tidy for every module
//	go run ./tools/release tidy -check     # make tidy-check: whether that would change anything
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// limit bounds the whole program, including downloads over a slow network.
const limit = 20 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	command, version, err := parse(args)
	if err != nil {
		return err
	}
	for _, name := range foreign {
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
	dir, err := git(ctx, ".", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	r, err := open(ctx, dir, released)
	if err != nil {
		return err
	}
	try := func(s *stage, tmp string) error { return tryOut(ctx, out, s, tmp) }
	switch command {
	case "check":
		return r.rehearse(ctx, out, version, try)
	case "make":
		return r.release(ctx, out, version, try)
	}
	if err := r.check(); err != nil {
		return err
	}
	return r.tidy(ctx, command == "tidy -check")
}

// parse returns the command, and the version for "check" and "make". Make passes on an empty
// version if there is no VERSION; checkVersion refuses it.
func parse(args []string) (command, version string, err error) {
	switch {
	case slices.Equal(args, []string{"tidy"}):
		return "tidy", "", nil
	case slices.Equal(args, []string{"tidy", "-check"}):
		return "tidy -check", "", nil
	case len(args) == 2 && (args[0] == "check" || args[0] == "make"):
		return args[0], args[1], nil
	}
	return "", "", errors.New("usage: release check VERSION | make VERSION | tidy [-check]")
}
