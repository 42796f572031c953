package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
)

func (a *app) svcGetCommand(records *recordFlags) *cobra.Command {
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
			return a.call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				view, err := a.view(ctx, c, format, args[0])
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
				if a.out.format == formatTable {
					return a.printInstances([]*discovery.Instance{in}, &control)
				}
				p := a.printer()
				if err := p.json(listedAs(in, &control)); err != nil {
					return err
				}
				return p.Flush()
			})
		},
	}
}

func (a *app) svcDrainCommand(records *recordFlags) *cobra.Command {
	return a.amendCommand(records, "drain", "Have an instance drain: it gets no new work",
		overrideLong+" It is what maintenance on does, for an instance that is there; undrain takes it back.", discovery.Drain)
}

func (a *app) svcUndrainCommand(records *recordFlags) *cobra.Command {
	return a.amendCommand(records, "undrain", "Take a drain back",
		"It is what maintenance off does. An instance that drains by itself goes on with that: it is about to end.", discovery.Undrain)
}

func (a *app) svcRemoveCommand(records *recordFlags) *cobra.Command {
	return a.amendCommand(records, "rm", "Remove the record of an instance",
		"For what a crashed process left; a process that lives puts its own back.", discovery.Remove)
}

// amendCommand is a command about somebody else's instance.
func (a *app) amendCommand(records *recordFlags, name, short, long string,
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
			return a.call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				if err := do(ctx, c, format, args[0], args[1]); err != nil {
					return err
				}
				p := a.printer()
				fmt.Fprintln(p, "OK")
				return p.Flush()
			})
		},
	}
}
