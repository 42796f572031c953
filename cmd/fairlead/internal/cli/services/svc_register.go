package services

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/discovery"
)

func svcRegisterCommand(a *command.App, records *recordFlags) *cobra.Command {
	var f instanceFlags
	var drain drainFlags
	c := &cobra.Command{
		Use:     "register SERVICE --addr HOST:PORT",
		Short:   "Register an instance until interrupted",
		Example: "  fairlead svc register payments --addr 10.0.0.7:8080 --zone eu-1 --weight 20",
		Long: `Register an instance and keep its record until interrupted, whatever happens to it. Then drain the
instance, for --serve at least and --drain at most, and remove the record.

To start, register, drain and end a program with one command, see "fairlead run".`,
		Args: command.OneArg("the name of a service"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := f.instance(args[0])
			if err != nil {
				return err
			}
			format, _, err := records.records()
			if err != nil {
				return err
			}
			if err := writable(format, &in); err != nil {
				return err
			}
			if err := drain.check(); err != nil {
				return err
			}
			ctx := cmd.Context()
			// The record is removed after the signal that ends the command.
			return a.Stream(context.WithoutCancel(ctx), func(_ context.Context, c *clientv3.Client) error {
				r := discovery.NewRegistrar(
					c,
					discovery.WithFormat(format),
					discovery.WithTTL(f.ttl),
					discovery.WithServing(drain.serve),
					discovery.WithEvents(func(e discovery.Event) { tellRegistration(a, e) }),
				)
				defer r.Close()
				rctx, cancel := context.WithTimeout(ctx, a.Conn.CommandTimeout)
				defer cancel()
				g, err := r.Register(rctx, in)
				if err != nil {
					return err
				}
				<-ctx.Done()
				if drain.limit > 0 {
					if err := g.Drain(context.WithoutCancel(ctx), drain.limit); err != nil {
						return err
					}
				}
				return context.Cause(ctx)
			})
		},
	}
	f.register(c.Flags())
	drain.register(c.Flags())
	return c
}

// tellRegistration prints on standard error what happens to a registration.
func tellRegistration(a *command.App, e discovery.Event) {
	if e.Kind == discovery.Leaving {
		fmt.Fprintln(a.Env.Stderr, "draining")
		return
	}
	text := fmt.Sprintf("%s/%s at %s: %s", e.Instance.Service, e.Instance.ID, address(e.Instance), e.Kind)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	fmt.Fprintln(a.Env.Stderr, text)
}
