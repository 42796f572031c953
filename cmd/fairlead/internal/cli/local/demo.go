package local

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/demo"
)

func demoCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "demo",
		Short:   "Show the client at work on a cluster of its own while members freeze",
		Example: "  fairlead demo",
		Long: `Show the client at work on a three-member cluster that the command starts and ends by itself: reads,
writes, a transaction, a watch, leases, two processes of which one leads until it is killed, and
five that offer a service. Then members are frozen and thawed, under reads, writes, a watch and a
lease.

It takes about half a minute, and fails if anything that it shows went wrong.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			return demo.Run(cmd.Context(), demo.Options{
				Stdout:    a.Env.Stdout,
				Command:   []string{self, "run-member"},
				Candidate: []string{self, "run-candidate"},
				Greeter:   []string{self, "run-greeter"},
			})
		},
	}
}
