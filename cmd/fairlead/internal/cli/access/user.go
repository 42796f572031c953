package access

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func userCommand(a *command.App) *cobra.Command {
	return a.Family("user", "Add, delete and show users, and give them roles",
		userAddCommand(a), userDeleteCommand(a), userGetCommand(a), userListCommand(a), userPasswdCommand(a),
		userGrantRoleCommand(a), userRevokeRoleCommand(a))
}

func userDeleteCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "delete USER",
		Short:   "Delete a user",
		Example: "  fairlead user delete alice",
		Args:    command.OneArg("a user"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return command.Done(
				a,
				cmd,
				func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthUserDeleteResponse, error) {
					return c.UserDelete(ctx, args[0])
				},
				func(*clientv3.AuthUserDeleteResponse) string { return fmt.Sprintf("User %s deleted", args[0]) },
			)
		},
	}
}

func userListCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the users",
		Example: "  fairlead user list",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.UserList(ctx)
				if err != nil {
					return err
				}
				return a.Listed(resp, "USER", resp.Users)
			})
		},
	}
}

func userGrantRoleCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "grant-role USER ROLE",
		Short:   "Give a role to a user",
		Example: "  fairlead user grant-role alice auditor",
		Args:    command.NArgs("a user", "a role"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return command.Done(
				a,
				cmd,
				func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthUserGrantRoleResponse, error) {
					return c.UserGrantRole(ctx, args[0], args[1])
				},
				func(*clientv3.AuthUserGrantRoleResponse) string {
					return fmt.Sprintf("Role %s is granted to user %s", args[1], args[0])
				},
			)
		},
	}
}

func userRevokeRoleCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "revoke-role USER ROLE",
		Short:   "Take a role from a user",
		Example: "  fairlead user revoke-role alice auditor",
		Args:    command.NArgs("a user", "a role"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return command.Done(
				a,
				cmd,
				func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthUserRevokeRoleResponse, error) {
					return c.UserRevokeRole(ctx, args[0], args[1])
				},
				func(*clientv3.AuthUserRevokeRoleResponse) string {
					return fmt.Sprintf("Role %s is revoked from user %s", args[1], args[0])
				},
			)
		},
	}
}
