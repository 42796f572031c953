package services

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/discovery"
)

// overrideLong ends the help of all commands that override.
const overrideLong = "This overrides what the instance says, also after it restarts, until it is changed again. " +
	"All followers of the service that use Fairlead see it at once; svc ls shows it."

func svcMaintenanceCommand(a *command.App) *cobra.Command {
	short := "Take an instance out for maintenance, or back in"
	return &cobra.Command{
		Use:     "maintenance on|off SERVICE ID",
		Short:   short,
		Long:    short + ": it is shown as draining. " + overrideLong + " The instance need not be there yet.",
		Example: "  fairlead svc maintenance on payments host-1:8080",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 3 || args[0] != "on" && args[0] != "off" {
				return command.Usage(
					fmt.Errorf("%s needs on or off, a service and the id of an instance", cmd.CommandPath()),
				)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return override(
				cmd.Context(),
				a,
				args[1],
				args[2],
				func(o *discovery.Override) { o.Maintenance = args[0] == "on" },
			)
		},
	}
}

func svcWeightCommand(a *command.App) *cobra.Command {
	short := "Change the weight of an instance"
	return &cobra.Command{
		Use:   "weight SERVICE ID WEIGHT|own",
		Short: short,
		Long: short + fmt.Sprintf(", 1 to %d; own is the weight that the instance gives. ",
			discovery.MaxWeight) + overrideLong,
		Example: "  fairlead svc weight payments host-1:8080 5",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 3 {
				return command.Usage(
					fmt.Errorf("%s needs a service, the id of an instance and a weight", cmd.CommandPath()),
				)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			weight := 0
			if args[2] != "own" {
				var err error
				if weight, err = strconv.Atoi(args[2]); err != nil || weight < 1 || weight > discovery.MaxWeight {
					return command.Usage(
						fmt.Errorf("the weight %q is neither 1 to %d nor own", args[2], discovery.MaxWeight),
					)
				}
			}
			return override(cmd.Context(), a, args[0], args[1], func(o *discovery.Override) { o.Weight = weight })
		},
	}
}

func override(ctx context.Context, a *command.App, service, id string, change func(*discovery.Override)) error {
	return changeControl(ctx, a, service, func(ctl *discovery.Control) { ctl.Override(id, change) })
}

// overridden describes in words an instance's overrides and its part in the split.
func overridden(ctl *discovery.Control, in *discovery.Instance) string {
	var words []string
	o := ctl.Instances[in.ID]
	if o.Maintenance {
		words = append(words, "maintenance")
	}
	if o.Weight > 0 {
		words = append(words, fmt.Sprintf("weight=%d", o.Weight))
	}
	if s := splits(ctl.Split, in); s != "" {
		words = append(words, s)
	}
	return strings.Join(words, ",")
}
