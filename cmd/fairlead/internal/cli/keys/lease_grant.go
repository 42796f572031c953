package keys

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func leaseGrantCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "grant TTL",
		Short:   "Create a lease of TTL seconds",
		Example: "  fairlead lease grant 60",
		Args:    command.OneArg("a time to live in seconds"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ttl, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return command.Usage(fmt.Errorf("%q is no time to live: a number of seconds is expected", args[0]))
			}
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.Grant(ctx, ttl)
				if err != nil {
					return fmt.Errorf("grant a lease: %w", err)
				}
				p := a.Printer()
				id := command.LeaseText(int64(resp.ID))
				return p.Print(resp, func() {
					fmt.Fprintf(p, "lease %s granted with TTL(%ds)\n", id, resp.TTL)
				}, func() ([]string, [][]string) {
					return []string{"LEASE", "TTL"}, [][]string{{id, fmt.Sprint(resp.TTL)}}
				})
			})
		},
	}
}

// leaseArg accepts the argument of the commands about one lease.
func leaseArg() cobra.PositionalArgs { return command.OneArg("the id of a lease, in hexadecimal,") }
