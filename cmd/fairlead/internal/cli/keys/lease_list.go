package keys

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func leaseListCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the leases",
		Example: "  fairlead lease list",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.Leases(ctx)
				if err != nil {
					return err
				}
				p := a.Printer()
				return p.Print(resp, func() {
					fmt.Fprintf(p, "found %d leases\n", len(resp.Leases))
					for _, l := range resp.Leases {
						fmt.Fprintln(p, command.LeaseText(int64(l.ID)))
					}
				}, func() ([]string, [][]string) {
					var rows [][]string
					for _, l := range resp.Leases {
						rows = append(rows, []string{command.LeaseText(int64(l.ID))})
					}
					return []string{"LEASE"}, rows
				})
			})
		},
	}
}
