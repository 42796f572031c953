package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
)

func (a *app) leaseListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the leases",
		Example: "  fairlead lease list",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.Leases(ctx)
				if err != nil {
					return err
				}
				p := a.printer()
				return p.print(resp, func() {
					fmt.Fprintf(p, "found %d leases\n", len(resp.Leases))
					for _, l := range resp.Leases {
						fmt.Fprintln(p, leaseText(int64(l.ID)))
					}
				}, func() ([]string, [][]string) {
					var rows [][]string
					for _, l := range resp.Leases {
						rows = append(rows, []string{leaseText(int64(l.ID))})
					}
					return []string{"LEASE"}, rows
				})
			})
		},
	}
}
