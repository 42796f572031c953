package keys

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func leaseTimeToLiveCommand(a *command.App) *cobra.Command {
	var keys bool
	c := &cobra.Command{
		Use:     "timetolive LEASE",
		Short:   "Show how long a lease has left",
		Example: "  fairlead lease timetolive 694d81417acd4707 --keys",
		Args:    leaseArg(),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseLease(args[0])
			if err != nil {
				return command.Usage(err)
			}
			var opts []clientv3.LeaseOption
			if keys {
				opts = append(opts, clientv3.WithAttachedKeys())
			}
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.TimeToLive(ctx, id, opts...)
				if err != nil {
					return err
				}
				return printTimeToLive(a.Printer(), resp, keys)
			})
		},
	}
	c.Flags().BoolVar(&keys, "keys", false, "also the keys attached to it")
	return c
}

func printTimeToLive(p *command.Printer, resp *clientv3.LeaseTimeToLiveResponse, keys bool) error {
	id := command.LeaseText(int64(resp.ID))
	expired := resp.GrantedTTL == 0 && resp.TTL == -1
	return p.Print(resp, func() {
		if expired {
			fmt.Fprintf(p, "lease %s already expired\n", id)
			return
		}
		fmt.Fprintf(p, "lease %s granted with TTL(%ds), remaining(%ds)", id, resp.GrantedTTL, resp.TTL)
		if keys {
			names := make([]string, len(resp.Keys))
			for i, k := range resp.Keys {
				names[i] = p.Text(k)
			}
			fmt.Fprintf(p, ", attached keys(%v)", names)
		}
		fmt.Fprintln(p)
	}, func() ([]string, [][]string) {
		if expired {
			return []string{"LEASE", "TTL", "REMAINING"}, [][]string{{id, "", "expired"}}
		}
		header, row := []string{
			"LEASE",
			"TTL",
			"REMAINING",
		}, []string{
			id,
			fmt.Sprint(resp.GrantedTTL),
			fmt.Sprint(resp.TTL),
		}
		if keys {
			names := make([]string, len(resp.Keys))
			for i, k := range resp.Keys {
				names[i] = p.Cell(k)
			}
			header, row = append(header, "KEYS"), append(row, strings.Join(names, " "))
		}
		return header, [][]string{row}
	})
}
