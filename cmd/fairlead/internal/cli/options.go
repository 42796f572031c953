package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) optionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "options",
		Short:   "Show the flags of all commands",
		Example: "  fairlead options",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(a.env.Stdout, "The following options can be passed to any command:\n\n%s",
				cmd.Root().PersistentFlags().FlagUsages())
			return err
		},
	}
}
