package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
)

func (a *app) downgradeValidateCommand() *cobra.Command {
	return a.downgradeCommand("validate", "Check whether the cluster could be downgraded to a version", clientv3.DowngradeValidate)
}

func (a *app) downgradeEnableCommand() *cobra.Command {
	return a.downgradeCommand("enable", "Begin a downgrade: members may then be replaced by ones of that version", clientv3.DowngradeEnable)
}

func (a *app) downgradeCommand(name, short string, action clientv3.DowngradeAction) *cobra.Command {
	return &cobra.Command{
		Use:     name + " VERSION",
		Short:   short,
		Example: "  fairlead downgrade " + name + " 3.6.0",
		Args:    oneArg("a version like 3.6.0"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.downgrade(cmd, name, action, args[0])
		},
	}
}

func (a *app) downgradeCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "cancel",
		Short:   "End a downgrade that was begun",
		Example: "  fairlead downgrade cancel",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.downgrade(cmd, "cancel", clientv3.DowngradeCancel, "")
		},
	}
}

func (a *app) downgrade(cmd *cobra.Command, name string, action clientv3.DowngradeAction, version string) error {
	return done(a, cmd, func(ctx context.Context, c *clientv3.Client) (*clientv3.DowngradeResponse, error) {
		return c.Downgrade(ctx, action, version)
	}, func(r *clientv3.DowngradeResponse) string {
		return fmt.Sprintf("Downgrade %s success, cluster version %s", name, r.Version)
	})
}
