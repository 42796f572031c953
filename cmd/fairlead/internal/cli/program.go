package cli

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/child"
)

// What run, lock and elect share: a program that belongs to the command.

// defaultGrace is how long a program may take to end after it was told to.
const defaultGrace = 10 * time.Second

// findProgram says that a program is not there before anything is sent.
func findProgram(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return child.Find(args[0])
}

// startProgram starts a program with the command's own input and output. From now on a second
// SIGINT or SIGTERM does not end the command, but is in a.again. A command that was interrupted
// already starts nothing.
func (a *app) startProgram(ctx context.Context, args, environment []string) (*child.Child, error) {
	a.supervises.Store(true)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return child.Start(child.Spec{Args: args, Env: environment, Stdin: a.env.Stdin, Stdout: a.env.Stdout, Stderr: a.env.Stderr})
}

// endProgram ends a program and its children, and says so if that took force. What a.again has
// meanwhile they get too.
func (a *app) endProgram(p *child.Child, s syscall.Signal, grace time.Duration) {
	over, passed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(passed)
		for {
			select {
			case s := <-a.again:
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
		fmt.Fprintf(a.env.Stderr, "the program did not end within %v and was killed\n", grace)
	}
}

// endingSignal is the one that has ended ctx.
func endingSignal(ctx context.Context) syscall.Signal {
	var interrupted interruptedError
	if errors.As(context.Cause(ctx), &interrupted) {
		return interrupted.signal
	}
	return syscall.SIGTERM
}

// programResult is the program's status as the command's.
func programResult(p *child.Child) error {
	if status := p.Status(); status != 0 {
		return childError{int(status)}
	}
	return nil
}
