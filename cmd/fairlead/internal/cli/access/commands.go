// Package access has the commands about users and roles.
package access

import (
	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// Commands returns the commands about users and roles.
func Commands(a *command.App) []*cobra.Command {
	return []*cobra.Command{
		a.Family(
			"auth",
			"Switch authentication on and off",
			authEnableCommand(a),
			authDisableCommand(a),
			authStatusCommand(a),
		),
		userCommand(a), roleCommand(a),
	}
}
