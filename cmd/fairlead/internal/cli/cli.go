// Package cli is fairlead's command line. Its commands are in a package for each family, with a
// file for each command: keys, coordination, services, cluster, access and local; shared code is in
// command. This package puts them together and runs them.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// Env is a run's input, output and environment.
type Env = command.Env

// Main runs the program until its end or until SIGINT or SIGTERM, and returns its exit code.
func Main(env Env) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	// Writing to a closed pipe then returns an error, so that the command ends in order: no key
	// stays locked.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	defer signal.Stop(pipes)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	// The notifications are not stopped: the process ends next, and a late signal must not change
	// its status.
	a := command.New(env)
	go interrupts(a, signals, cancel)
	return run(ctx, a)
}

// interrupts ends the run with the first signal. From then on signals have their default action, so
// that a second Ctrl-C ends a command that takes too long to end. While a program is supervised,
// further signals go to a.Again.
func interrupts(a *command.App, signals chan os.Signal, cancel context.CancelCauseFunc) {
	for first := true; ; first = false {
		s, _ := (<-signals).(syscall.Signal)
		if !first {
			select {
			case a.Again <- s:
			default: // the signals before this one are still waiting
			}
			continue
		}
		cancel(command.InterruptedError{Signal: s})
		if !a.Supervises.Load() {
			signal.Stop(signals)
			return
		}
	}
}

// Run runs one command line and returns its exit code. The run ends early when ctx does.
func Run(ctx context.Context, env Env) int { return run(ctx, command.New(env)) }

func run(ctx context.Context, a *command.App) int {
	env := a.Env
	root := rootCommand(a)
	root.SetArgs(env.Args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return command.ExitOK
	}
	var child command.ChildError
	if errors.As(err, &child) {
		return child.Code
	}
	var stopped command.InterruptedError
	if errors.As(context.Cause(ctx), &stopped) || errors.As(err, &stopped) {
		return 128 + int(stopped.Signal) // as shells report a program that was ended by a signal
	}
	if errors.Is(err, command.ErrClosedPipe) {
		return command.ExitClosedPipe // the reader needs no more
	}
	var usage command.UsageError
	if !a.Ran.Load() && !errors.As(err, &usage) {
		err = command.Usage(err)
	}
	fmt.Fprintln(env.Stderr, "Error:", err)
	if errors.As(err, &usage) {
		fmt.Fprintf(env.Stderr, "See '%s --help'.\n", cmd.CommandPath())
	}
	return command.ExitCode(err)
}
