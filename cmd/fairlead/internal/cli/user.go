package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
)

func (a *app) userCommand() *cobra.Command {
	return a.family("user", "Add, delete and look at users, and give them roles",
		a.userAddCommand(), a.userDeleteCommand(), a.userGetCommand(), a.userListCommand(), a.userPasswdCommand(),
		a.userGrantRoleCommand(), a.userRevokeRoleCommand())
}

func (a *app) userDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "delete USER",
		Short:   "Delete a user",
		Example: "  fairlead user delete alice",
		Args:    oneArg("a user"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return done(a, cmd, func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthUserDeleteResponse, error) {
				return c.UserDelete(ctx, args[0])
			}, func(*clientv3.AuthUserDeleteResponse) string { return fmt.Sprintf("User %s deleted", args[0]) })
		},
	}
}

func (a *app) userListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the users",
		Example: "  fairlead user list",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.UserList(ctx)
				if err != nil {
					return err
				}
				return a.listed(resp, "USER", resp.Users)
			})
		},
	}
}

func (a *app) userGrantRoleCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "grant-role USER ROLE",
		Short:   "Give a role to a user",
		Example: "  fairlead user grant-role alice auditor",
		Args:    nArgs("a user", "a role"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return done(a, cmd, func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthUserGrantRoleResponse, error) {
				return c.UserGrantRole(ctx, args[0], args[1])
			}, func(*clientv3.AuthUserGrantRoleResponse) string {
				return fmt.Sprintf("Role %s is granted to user %s", args[1], args[0])
			})
		},
	}
}

func (a *app) userRevokeRoleCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke-role USER ROLE",
		Short:   "Take a role from a user",
		Example: "  fairlead user revoke-role alice auditor",
		Args:    nArgs("a user", "a role"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return done(a, cmd, func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthUserRevokeRoleResponse, error) {
				return c.UserRevokeRole(ctx, args[0], args[1])
			}, func(*clientv3.AuthUserRevokeRoleResponse) string {
				return fmt.Sprintf("Role %s is revoked from user %s", args[1], args[0])
			})
		},
	}
}
