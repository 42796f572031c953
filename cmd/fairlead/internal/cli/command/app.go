// Package command is shared by the families of fairlead's commands: a run of the program (App), the
// global flags and the connection that they describe, output formats, errors and exit codes.
//
// A command's RunE parses arguments, makes its calls inside App.Call, which opens the client and
// sets the time limit, and hands the answers to a Printer. Commands do not exit, do not write to
// os.Stdout and do not read the environment, so that tests run them in-process with an Env of their
// own.
package command

import (
	"io"
	"sync/atomic"
	"syscall"
)

// Env is a run's input, output and environment.
type Env struct {
	Args      []string // without the program's name
	Stdin     io.Reader
	Stdout    io.Writer
	Stderr    io.Writer
	LookupEnv func(string) (string, bool)
}

// App is one run of the program.
type App struct {
	Env  Env
	Conn ConnFlags
	Out  outFlags
	// Ran says whether the error is a command's or its command line's: cobra returns both alike.
	Ran atomic.Bool
	// Supervises says that the command runs a program, and so survives a second signal, which goes
	// to Again.
	Supervises atomic.Bool
	Again      chan syscall.Signal
}

// New returns a new run.
func New(env Env) *App {
	return &App{Env: env, Again: make(chan syscall.Signal, 4)}
}
