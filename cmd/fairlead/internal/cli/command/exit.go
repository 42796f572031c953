package command

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/child"
)

// The exit codes are part of the interface: "help exit-codes" lists them.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitUnreachable = 3
	ExitLost        = 4
	ExitClosedPipe  = 128 + 13 // as shells report a program that SIGPIPE ended
)

// ErrClosedPipe is the error of an output that its reader has closed.
const ErrClosedPipe = syscall.EPIPE

// UsageError is a command line that cannot be executed as written; nothing was sent.
type UsageError struct{ cause error }

func (e UsageError) Error() string { return e.cause.Error() }
func (e UsageError) Unwrap() error { return e.cause }

// Usage marks an error as a mistake in the command line.
func Usage(err error) error { return UsageError{err} }

// UnreachableError is a cluster of which no endpoint could be used in time.
type UnreachableError struct {
	Cause   error
	details string // one line per endpoint
}

func (e UnreachableError) Error() string { return e.Cause.Error() + e.details }
func (e UnreachableError) Unwrap() error { return e.Cause }

// LostError is a lock or a leadership that was lost while the command held it.
type LostError struct{ cause error }

func (e LostError) Error() string { return e.cause.Error() }
func (e LostError) Unwrap() error { return e.cause }

// Lost marks an error as a lost ownership.
func Lost(err error) error { return LostError{err} }

// InterruptedError is the end of a run by a signal.
type InterruptedError struct{ Signal syscall.Signal }

func (e InterruptedError) Error() string { return "interrupted: " + e.Signal.String() }

// ChildError is the exit status of a program that the command ran.
type ChildError struct{ Code int }

func (e ChildError) Error() string {
	return fmt.Sprintf("the program has ended with status %d", e.Code)
}

// ReportedError is a failure that the command's output has shown already, for example per endpoint.
type ReportedError struct{ summary string }

func (e ReportedError) Error() string { return e.summary }

// Reported is a failure that the output has shown already; summary is all that is left to print.
func Reported(summary string) error { return ReportedError{summary} }

// ExitCode returns the program's exit code for an error of a command.
func ExitCode(err error) int {
	var (
		usage       UsageError
		unreachable UnreachableError
		lost        LostError
		start       *child.StartError
	)
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &start):
		return int(start.Status())
	case errors.As(err, &usage):
		return ExitUsage
	case errors.As(err, &unreachable):
		return ExitUnreachable
	case errors.As(err, &lost):
		return ExitLost
	}
	return ExitFailed
}
