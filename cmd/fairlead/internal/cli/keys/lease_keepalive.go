package keys

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func leaseKeepAliveCommand(a *command.App) *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:     "keep-alive LEASE",
		Short:   "Renew a lease until interrupted",
		Example: "  fairlead lease keep-alive 694d81417acd4707\n  fairlead lease keep-alive --once 694d81417acd4707",
		Long:    "Renew a lease until interrupted. If the lease is lost, the command says so and fails.",
		Args:    leaseArg(),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseLease(args[0])
			if err != nil {
				return command.Usage(err)
			}
			if once {
				return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
					resp, err := c.KeepAliveOnce(ctx, id)
					if err != nil {
						return err
					}
					return printKeepAlive(a.Printer(), resp)
				})
			}
			return a.Stream(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				if err := a.Reachable(ctx, c, "lease"); err != nil {
					return err
				}
				return keepAlive(ctx, a, c, id)
			})
		},
	}
	c.Flags().BoolVar(&once, "once", false, "renew it once")
	return c
}

func keepAlive(ctx context.Context, a *command.App, c *clientv3.Client, id clientv3.LeaseID) error {
	renewals, err := c.KeepAlive(ctx, id)
	if err != nil {
		return err
	}
	p := a.Printer()
	for resp := range renewals {
		if err := printKeepAlive(p, resp); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	lost := fmt.Sprintf("lease %s expired or revoked.", command.LeaseText(int64(id)))
	if p.Format == command.FormatPlain {
		fmt.Fprintln(p, lost)
		if err := p.Flush(); err != nil {
			return err
		}
	}
	return command.Reported(lost)
}

func printKeepAlive(p *command.Printer, resp *clientv3.LeaseKeepAliveResponse) error {
	id := command.LeaseText(int64(resp.ID))
	return p.Print(resp, func() {
		fmt.Fprintf(p, "lease %s keepalived with TTL(%d)\n", id, resp.TTL)
	}, func() ([]string, [][]string) {
		return []string{"LEASE", "TTL"}, [][]string{{id, fmt.Sprint(resp.TTL)}}
	})
}
