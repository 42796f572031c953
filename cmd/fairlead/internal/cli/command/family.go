package command

import (
	"fmt"

	"github.com/spf13/cobra"
)

// Track notes when a command begins to run.
func (a *App) Track(c *cobra.Command) {
	if run := c.RunE; run != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			a.Ran.Store(true)
			return run(cmd, args)
		}
	}
}

// Family returns a command that only has sub-commands.
func (a *App) Family(name, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: name, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return UsageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, sub := range subs {
		a.Track(sub)
		c.AddCommand(sub)
	}
	return c
}
