// Package command is what the families of fairlead's commands share: a run of the program (App),
// the global flags and the connection that they describe, output formats, errors and exit codes.
//
// A command's RunE parses arguments, does its calls inside App.Call, which opens the client and
// sets the time limit, and hands the answers to a Printer. Commands do not exit, do not write to
// os.Stdout and do not read the environment, so that tests run them in-process with an Env of
// their own.
package command

import (
	"io"
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

// App is one run of the program.
type App struct {
	Env  Env
	Conn ConnFlags
	Out  outFlags
	// Ran tells errors of a command from errors of its command line, which cobra returns alike.
	Ran atomic.Bool
	// Supervises says that a program is run, so that the command survives a second signal: Again
	// has that.
	Supervises atomic.Bool
	Again      chan syscall.Signal
}

// New begins a run.
func New(env Env) *App {
	return &App{Env: env, Again: make(chan syscall.Signal, 4)}
}
