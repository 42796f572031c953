package services

import (
	"errors"
	"time"

	"github.com/spf13/pflag"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// drainFlags say how an instance is drained.
type drainFlags struct {
	limit, serve time.Duration
}

func (f *drainFlags) register(fs *pflag.FlagSet) {
	fs.DurationVar(
		&f.limit,
		"drain",
		10*time.Second,
		"how long to wait at most, at the end, until all followers of the service know; 0: not at all",
	)
	fs.DurationVar(
		&f.serve,
		"serve",
		5*time.Second,
		"how long to go on serving at least, for followers that cannot confirm; --drain bounds it",
	)
}

// check returns an error if the flags are invalid.
func (f *drainFlags) check() error {
	if f.limit < 0 || f.serve < 0 {
		return command.Usage(errors.New("--drain and --serve must not be negative"))
	}
	return nil
}
