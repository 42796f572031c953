// Release makes Fairlead's modules available, and checks that they are. docs/release.md says how a release goes.
//
//	go run ./tools/release tidy            # make tidy: go mod tidy for every module
//	go run ./tools/release tidy -check     # make tidy-check
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"time"
)

// limit bounds the whole, downloads over a slow network included.
const limit = 20 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
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
	if err := r.check(); err != nil {
		return err
	}
	return r.tidy(ctx, len(args) == 2)
}
