package cluster

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func downgradeValidateCommand(a *command.App) *cobra.Command {
	return downgradeCommand(
		a,
		"validate",
		"Check whether the cluster could be downgraded to a version",
		clientv3.DowngradeValidate,
	)
}

func downgradeEnableCommand(a *command.App) *cobra.Command {
	return downgradeCommand(
		a,
		"enable",
		"Begin a downgrade: then members of that version may replace those of the cluster",
		clientv3.DowngradeEnable,
	)
}

func downgradeCommand(a *command.App, name, short string, action clientv3.DowngradeAction) *cobra.Command {
	return &cobra.Command{
		Use:     name + " VERSION",
		Short:   short,
		Example: "  fairlead downgrade " + name + " 3.6.0",
		Args:    command.OneArg("a version like 3.6.0"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return downgrade(a, cmd, name, action, args[0])
		},
	}
}

func downgradeCancelCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "cancel",
		Short:   "End a downgrade that was begun",
		Example: "  fairlead downgrade cancel",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return downgrade(a, cmd, "cancel", clientv3.DowngradeCancel, "")
		},
	}
}

func downgrade(a *command.App, cmd *cobra.Command, name string, action clientv3.DowngradeAction, version string) error {
	return command.Done(a, cmd, func(ctx context.Context, c *clientv3.Client) (*clientv3.DowngradeResponse, error) {
		return c.Downgrade(ctx, action, version)
	}, func(r *clientv3.DowngradeResponse) string {
		return fmt.Sprintf("Downgrade %s success, cluster version %s", name, r.Version)
	})
}
