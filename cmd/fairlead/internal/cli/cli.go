// Package cli is fairlead's command line: one file per command, and a few for what they share
// (global flags, the connection, output formats, exit codes).
//
// A command is a method of app that returns a *cobra.Command. Its RunE parses arguments, does its
// calls inside app.call, which opens the client and sets the time limit, and hands the answers to a
// printer. Commands do not exit, do not write to os.Stdout and do not read the environment, so
// tests run them in-process with an Env of their own.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// Env is what a run of the program sees of the outside.
type Env struct {
	Args      []string // without the program's name
	Stdin     io.Reader
	Stdout    io.Writer
	Stderr    io.Writer
	LookupEnv func(string) (string, bool)
}

// app is one run of the program.
type app struct {
	env  Env
	conn connFlags
	out  outFlags
	// ran tells errors of a command from errors of its command line, which cobra returns alike.
	ran atomic.Bool
	// supervises says that a program is run, so that the command survives a second signal: again
	// has that.
	supervises atomic.Bool
	again      chan syscall.Signal
}

// Main runs the program until its end or until SIGINT or SIGTERM, and returns its exit code.
func Main(env Env) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	// A closed pipe is then an error of the write to it, so that the command ends in order: no key
	// is left locked.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	defer signal.Stop(pipes)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	// Not stopped: the process ends next, and a late signal must not change its status.
	a := newApp(env)
	go a.interrupts(signals, cancel)
	return a.run(ctx)
}

// interrupts ends the run with the first signal. From then on they have their default action, so
// that a second Ctrl-C ends what takes too long to end, unless a program is supervised.
func (a *app) interrupts(signals chan os.Signal, cancel context.CancelCauseFunc) {
	for first := true; ; first = false {
		s, _ := (<-signals).(syscall.Signal)
		if !first {
			select {
			case a.again <- s:
			default: // nobody has cared about the last ones
			}
			continue
		}
		cancel(interruptedError{s})
		if !a.supervises.Load() {
			signal.Stop(signals)
			return
		}
	}
}

func newApp(env Env) *app {
	return &app{env: env, again: make(chan syscall.Signal, 4)}
}

// Run runs one command line and returns its exit code. The run ends early when ctx does.
func Run(ctx context.Context, env Env) int { return newApp(env).run(ctx) }

func (a *app) run(ctx context.Context) int {
	env := a.env
	root := a.rootCommand()
	root.SetArgs(env.Args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var child childError
	if errors.As(err, &child) {
		return child.code
	}
	var stopped interruptedError
	if errors.As(context.Cause(ctx), &stopped) || errors.As(err, &stopped) {
		return 128 + int(stopped.signal) // as shells report a program that a signal ended
	}
	if errors.Is(err, errClosedPipe) {
		return exitClosedPipe // who reads has seen enough
	}
	var usage usageError
	if !a.ran.Load() && !errors.As(err, &usage) {
		usage = usageError{err}
		err = usage
	}
	fmt.Fprintln(env.Stderr, "Error:", err)
	if errors.As(err, &usage) {
		fmt.Fprintf(env.Stderr, "See '%s --help'.\n", cmd.CommandPath())
	}
	return exitCode(err)
}
