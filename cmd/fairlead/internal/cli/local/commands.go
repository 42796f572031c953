// Package local has the commands about clusters, the console and other things on this machine.
package local

import (
	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// Commands returns the commands about clusters and the console on this machine.
func Commands(a *command.App) []*cobra.Command {
	return []*cobra.Command{
		devCommand(a), demoCommand(a), migrateCommand(a), consoleCommand(a),
	}
}

// Processes returns the commands that run the demonstration's child processes.
func Processes(a *command.App) []*cobra.Command {
	return []*cobra.Command{memberRunCommand(a), candidateRunCommand(a), greeterRunCommand(a)}
}
