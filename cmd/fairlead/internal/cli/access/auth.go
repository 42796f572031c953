package access

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func authEnableCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "enable",
		Short:   "Switch authentication on; the user root must exist, and gets the role root",
		Example: "  fairlead user add root\n  fairlead auth enable",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return command.Done(
				a,
				cmd,
				func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthEnableResponse, error) {
					resp, err := c.AuthEnable(ctx)
					if !errors.Is(err, rpctypes.ErrRootRoleNotExist) {
						return resp, err
					}
					if _, err := c.UserGrantRole(ctx, "root", "root"); err != nil {
						return nil, err
					}
					return c.AuthEnable(ctx)
				},
				func(*clientv3.AuthEnableResponse) string { return "Authentication Enabled" },
			)
		},
	}
}

func authDisableCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "disable",
		Short:   "Switch authentication off",
		Example: "  fairlead --user root auth disable",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return command.Done(
				a,
				cmd,
				func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthDisableResponse, error) {
					return c.AuthDisable(ctx)
				},
				func(*clientv3.AuthDisableResponse) string { return "Authentication Disabled" },
			)
		},
	}
}

func authStatusCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Say whether authentication is on",
		Example: "  fairlead auth status",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.AuthStatus(ctx)
				if err != nil {
					return err
				}
				p := a.Printer()
				return p.Print(resp, func() {
					fmt.Fprintf(p, "Authentication Status: %t\nAuthRevision: %d\n", resp.Enabled, resp.AuthRevision)
				}, func() ([]string, [][]string) {
					return []string{
							"ENABLED",
							"AUTH REVISION",
						}, [][]string{
							{fmt.Sprint(resp.Enabled), fmt.Sprint(resp.AuthRevision)},
						}
				})
			})
		},
	}
}
