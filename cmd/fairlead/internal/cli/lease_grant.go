package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
)

func (a *app) leaseGrantCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "grant TTL",
		Short:   "Create a lease of TTL seconds",
		Example: "  fairlead lease grant 60",
		Args:    oneArg("a time to live in seconds"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ttl, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return usageError{fmt.Errorf("%q is no time to live: a number of seconds is expected", args[0])}
			}
			return a.call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.Grant(ctx, ttl)
				if err != nil {
					return fmt.Errorf("grant a lease: %w", err)
				}
				p := a.printer()
				id := leaseText(int64(resp.ID))
				return p.print(resp, func() {
					fmt.Fprintf(p, "lease %s granted with TTL(%ds)\n", id, resp.TTL)
				}, func() ([]string, [][]string) {
					return []string{"LEASE", "TTL"}, [][]string{{id, fmt.Sprint(resp.TTL)}}
				})
			})
		},
	}
}

func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s needs %s and nothing else", cmd.CommandPath(), what)}
		}
		return nil
	}
}

// leaseArg is the argument of the commands about one lease.
func leaseArg() cobra.PositionalArgs { return oneArg("the id of a lease, in hexadecimal,") }
