package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
)

func (a *app) leaseKeepAliveCommand() *cobra.Command {
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
				return usageError{err}
			}
			if once {
				return a.call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
					resp, err := c.KeepAliveOnce(ctx, id)
					if err != nil {
						return err
					}
					return a.printer().keepAlive(resp)
				})
			}
			return a.stream(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				if err := a.reachable(ctx, c, "lease"); err != nil {
					return err
				}
				return a.keepAlive(ctx, c, id)
			})
		},
	}
	c.Flags().BoolVar(&once, "once", false, "renew it once")
	return c
}

func (a *app) keepAlive(ctx context.Context, c *clientv3.Client, id clientv3.LeaseID) error {
	renewals, err := c.KeepAlive(ctx, id)
	if err != nil {
		return err
	}
	p := a.printer()
	for resp := range renewals {
		if err := p.keepAlive(resp); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	lost := fmt.Sprintf("lease %s expired or revoked.", leaseText(int64(id)))
	if p.format == formatPlain {
		fmt.Fprintln(p, lost)
		if err := p.Flush(); err != nil {
			return err
		}
	}
	return reportedError{lost}
}

func (p *printer) keepAlive(resp *clientv3.LeaseKeepAliveResponse) error {
	id := leaseText(int64(resp.ID))
	return p.print(resp, func() {
		fmt.Fprintf(p, "lease %s keepalived with TTL(%d)\n", id, resp.TTL)
	}, func() ([]string, [][]string) {
		return []string{"LEASE", "TTL"}, [][]string{{id, fmt.Sprint(resp.TTL)}}
	})
}
