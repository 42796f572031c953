package cli

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/child"
)

// The exit codes, which are part of the interface: root.go documents them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitLost        = 4
	exitClosedPipe  = 128 + 13 // as shells report a program that SIGPIPE ended
)

// errClosedPipe is the error of an output whose reader has gone.
const errClosedPipe = syscall.EPIPE

// usageError is a command line that cannot be carried out as written; nothing was sent.
type usageError struct{ cause error }

func (e usageError) Error() string { return e.cause.Error() }
func (e usageError) Unwrap() error { return e.cause }

// unreachableError is a cluster of which no endpoint could be used in time.
type unreachableError struct {
	cause   error
	details string // one line per endpoint
}

func (e unreachableError) Error() string { return e.cause.Error() + e.details }
func (e unreachableError) Unwrap() error { return e.cause }

// lostError is a lock or a leadership that was lost while the command had it.
type lostError struct{ cause error }

func (e lostError) Error() string { return e.cause.Error() }
func (e lostError) Unwrap() error { return e.cause }

// interruptedError is the end of a run by a signal.
type interruptedError struct{ signal syscall.Signal }

func (e interruptedError) Error() string { return "interrupted: " + e.signal.String() }

// childError is how a program that was run has ended.
type childError struct{ code int }

func (e childError) Error() string {
	return fmt.Sprintf("the program has ended with status %d", e.code)
}

// reportedError is a failure that the command's output has shown already, per endpoint for
// instance.
type reportedError struct{ summary string }

func (e reportedError) Error() string { return e.summary }

func exitCode(err error) int {
	var (
		usage       usageError
		unreachable unreachableError
		lost        lostError
		start       *child.StartError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &start):
		return int(start.Status())
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &unreachable):
		return exitUnreachable
	case errors.As(err, &lost):
		return exitLost
	}
	return exitFailed
}
