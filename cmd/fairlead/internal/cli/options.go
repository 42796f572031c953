package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func optionsCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "options",
		Short:   "Show the flags of all commands",
		Example: "  fairlead options",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(a.Env.Stdout, "The following options can be passed to any command:\n\n%s",
				cmd.Root().PersistentFlags().FlagUsages())
			return err
		},
	}
}
