package keys

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func leaseRevokeCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "revoke LEASE",
		Short:   "End a lease and delete its keys",
		Example: "  fairlead lease revoke 694d81417acd4707",
		Args:    leaseArg(),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseLease(args[0])
			if err != nil {
				return command.Usage(err)
			}
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.Revoke(ctx, id)
				if err != nil {
					return fmt.Errorf("revoke lease %s: %w", command.LeaseText(int64(id)), err)
				}
				p := a.Printer()
				return p.Print(resp, func() {
					fmt.Fprintf(p, "lease %s revoked\n", command.LeaseText(int64(id)))
				}, func() ([]string, [][]string) {
					return []string{"LEASE", "RESULT"}, [][]string{{command.LeaseText(int64(id)), "revoked"}}
				})
			})
		},
	}
}
