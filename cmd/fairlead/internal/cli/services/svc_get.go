package services

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/discovery"
)

func svcGetCommand(a *command.App, records *recordFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "get SERVICE ID",
		Short:   "Print all that is known of an instance",
		Example: "  fairlead svc get payments host-1:8080",
		Args:    twoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			format, _, err := records.records()
			if err != nil {
				return err
			}
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				view, err := view(ctx, a, c, format, args[0])
				if err != nil {
					return err
				}
				in := view.Get(args[1])
				if in == nil {
					return fmt.Errorf("%w: %s/%s", discovery.ErrNotFound, args[0], args[1])
				}
				control, err := shownControl(ctx, c, args[0])
				if err != nil {
					return err
				}
				if a.Out.Format == command.FormatTable {
					return printInstances(a, []*discovery.Instance{in}, &control)
				}
				p := a.Printer()
				if err := p.JSON(listedAs(in, &control)); err != nil {
					return err
				}
				return p.Flush()
			})
		},
	}
}

func svcDrainCommand(a *command.App, records *recordFlags) *cobra.Command {
	return amendCommand(
		a,
		records,
		"drain",
		"Have an instance drain: it gets no new work",
		overrideLong+" It is maintenance on for an instance that is there; undrain takes it back.",
		discovery.Drain,
	)
}

func svcUndrainCommand(a *command.App, records *recordFlags) *cobra.Command {
	return amendCommand(
		a,
		records,
		"undrain",
		"Take a drain back",
		"It is maintenance off. An instance that drains by itself goes on draining: it is about to end.",
		discovery.Undrain,
	)
}

func svcRemoveCommand(a *command.App, records *recordFlags) *cobra.Command {
	return amendCommand(a, records, "rm", "Remove the record of an instance",
		"Use it for a record that a crashed process left; a process that lives puts its own back.", discovery.Remove)
}

// amendCommand returns a command that changes an instance of another process.
func amendCommand(a *command.App, records *recordFlags, name, short, long string,
	do func(context.Context, *clientv3.Client, discovery.Format, string, string) error) *cobra.Command {
	return &cobra.Command{
		Use:     name + " SERVICE ID",
		Short:   short,
		Example: "  fairlead svc " + name + " payments host-1:8080",
		Long:    short + ". " + long,
		Args:    twoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			format, _, err := records.records()
			if err != nil {
				return err
			}
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				if err := do(ctx, c, format, args[0], args[1]); err != nil {
					return err
				}
				p := a.Printer()
				fmt.Fprintln(p, "OK")
				return p.Flush()
			})
		},
	}
}
