package services

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/discovery"
)

func svcWatchCommand(a *command.App, records *recordFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "watch SERVICE",
		Short:   "Print the instances of a service and their changes until interrupted",
		Example: "  fairlead svc watch payments",
		Args:    command.OneArg("the name of a service"),
		RunE: func(cmd *cobra.Command, args []string) error {
			format, _, err := records.records()
			if err != nil {
				return err
			}
			return a.Stream(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				if err := a.Reachable(ctx, c, format.Prefix(args[0])); err != nil {
					return err
				}
				d := directory(a, c, format)
				defer d.Close()
				s, err := d.Subscribe(args[0])
				if err != nil {
					return command.Usage(err)
				}
				defer s.Close()
				for stale := false; ; {
					change, err := s.Next(ctx)
					if ctx.Err() != nil {
						return context.Cause(ctx)
					}
					if err != nil {
						return err
					}
					if change.Stale != stale {
						stale = change.Stale
						fmt.Fprintln(
							a.Env.Stderr,
							map[bool]string{
								true: "etcd does not answer; this is what was last known", false: "etcd answers again",
							}[stale],
						)
					}
					if err := printChange(a, &change); err != nil {
						return err
					}
				}
			})
		},
	}
}

// serviceChange is a line of JSON.
type serviceChange struct {
	Change   string              `json:"change"`
	Revision int64               `json:"revision"`
	Instance *discovery.Instance `json:"instance"`
}

func printChange(a *command.App, c *discovery.Change) error {
	p := a.Printer()
	print := func(what string, list []*discovery.Instance) error {
		for _, in := range list {
			if p.Format == command.FormatJSON {
				if err := p.JSON(serviceChange{what, c.View.Revision(), in}); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(
				p,
				"%s %s %s %s weight=%d\n",
				what,
				command.Visible(in.ID),
				command.Visible(address(in)),
				state(in),
				in.EffectiveWeight(),
			)
		}
		return nil
	}
	err := errors.Join(print("removed", c.Removed), print("updated", c.Updated), print("added", c.Added))
	if err != nil {
		return err
	}
	return p.Flush()
}
