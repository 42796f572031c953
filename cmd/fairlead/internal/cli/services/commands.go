// Package services has the commands about services and their instances.
package services

import (
	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// Commands returns the commands about services and their instances.
func Commands(a *command.App) []*cobra.Command {
	return []*cobra.Command{
		svcCommand(a), runCommand(a), dnsCommand(a), agentCommand(a),
	}
}
