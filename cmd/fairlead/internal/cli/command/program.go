package command

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/child"
	"github.com/spf13/cobra"
)

// Shared by run, lock and elect: a program that belongs to the command.

// DefaultGrace is how long a program may take to end after the signal.
const DefaultGrace = 10 * time.Second

// FindProgram reports a program that does not exist, before anything is sent.
func FindProgram(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return child.Find(args[0])
}

// StartProgram starts a program with the command's own input and output. From then on a second
// SIGINT or SIGTERM does not end the command, but goes to a.Again. If the command was interrupted
// already, it starts nothing.
func (a *App) StartProgram(ctx context.Context, args, environment []string) (*child.Child, error) {
	a.Supervises.Store(true)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return child.Start(
		child.Spec{Args: args, Env: environment, Stdin: a.Env.Stdin, Stdout: a.Env.Stdout, Stderr: a.Env.Stderr},
	)
}

// EndProgram ends a program and its children, and reports if it had to kill them. It passes on the
// signals that come to a.Again meanwhile.
func (a *App) EndProgram(p *child.Child, s syscall.Signal, grace time.Duration) {
	over, passed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(passed)
		for {
			select {
			case s := <-a.Again:
				p.Signal(s)
			case <-over:
				return
			}
		}
	}()
	killed := p.End(s, grace)
	close(over)
	<-passed
	if killed {
		fmt.Fprintf(a.Env.Stderr, "the program did not end within %v and was killed\n", grace)
	}
}

// EndingSignal returns the signal that ended ctx.
func EndingSignal(ctx context.Context) syscall.Signal {
	var interrupted InterruptedError
	if errors.As(context.Cause(ctx), &interrupted) {
		return interrupted.Signal
	}
	return syscall.SIGTERM
}

// ProgramResult returns the program's status as the command's.
func ProgramResult(p *child.Child) error {
	if status := p.Status(); status != 0 {
		return ChildError{int(status)}
	}
	return nil
}

// SplitProgram separates the arguments from the program after --.
func SplitProgram(cmd *cobra.Command, args []string) (own, program []string) {
	if n := cmd.ArgsLenAtDash(); n >= 0 {
		return args[:n], args[n:]
	}
	return args, nil
}
