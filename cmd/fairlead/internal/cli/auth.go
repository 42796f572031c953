package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

func (a *app) authEnableCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "enable",
		Short:   "Switch authentication on; the user root must exist, and gets the role root",
		Example: "  fairlead user add root\n  fairlead auth enable",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return done(a, cmd, func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthEnableResponse, error) {
				resp, err := c.AuthEnable(ctx)
				if !errors.Is(err, rpctypes.ErrRootRoleNotExist) {
					return resp, err
				}
				if _, err := c.UserGrantRole(ctx, "root", "root"); err != nil {
					return nil, err
				}
				return c.AuthEnable(ctx)
			}, func(*clientv3.AuthEnableResponse) string { return "Authentication Enabled" })
		},
	}
}

func (a *app) authDisableCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "disable",
		Short:   "Switch authentication off",
		Example: "  fairlead --user root auth disable",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return done(a, cmd, func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthDisableResponse, error) {
				return c.AuthDisable(ctx)
			}, func(*clientv3.AuthDisableResponse) string { return "Authentication Disabled" })
		},
	}
}

func (a *app) authStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Say whether authentication is on",
		Example: "  fairlead auth status",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.AuthStatus(ctx)
				if err != nil {
					return err
				}
				p := a.printer()
				return p.print(resp, func() {
					fmt.Fprintf(p, "Authentication Status: %t\nAuthRevision: %d\n", resp.Enabled, resp.AuthRevision)
				}, func() ([]string, [][]string) {
					return []string{"ENABLED", "AUTH REVISION"}, [][]string{{fmt.Sprint(resp.Enabled), fmt.Sprint(resp.AuthRevision)}}
				})
			})
		},
	}
}
