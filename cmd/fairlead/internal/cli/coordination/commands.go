// Package coordination has the commands about locks and elections.
package coordination

import (
	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// Commands returns the commands about locks and elections.
func Commands(a *command.App) []*cobra.Command {
	return []*cobra.Command{
		lockCommand(a), electCommand(a),
	}
}
