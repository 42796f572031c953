package access

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func roleCommand(a *command.App) *cobra.Command {
	return a.Family("role", "Add, delete and show roles and their permissions",
		roleAddCommand(a), roleDeleteCommand(a), roleGetCommand(a), roleListCommand(a),
		roleGrantCommand(a), roleRevokeCommand(a))
}

func roleAddCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "add ROLE",
		Short:   "Add a role",
		Example: "  fairlead role add auditor",
		Args:    command.OneArg("a role"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return command.Done(
				a,
				cmd,
				func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthRoleAddResponse, error) {
					return c.RoleAdd(ctx, args[0])
				},
				func(*clientv3.AuthRoleAddResponse) string { return fmt.Sprintf("Role %s created", args[0]) },
			)
		},
	}
}

func roleDeleteCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "delete ROLE",
		Short:   "Delete a role",
		Example: "  fairlead role delete auditor",
		Args:    command.OneArg("a role"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return command.Done(
				a,
				cmd,
				func(ctx context.Context, c *clientv3.Client) (*clientv3.AuthRoleDeleteResponse, error) {
					return c.RoleDelete(ctx, args[0])
				},
				func(*clientv3.AuthRoleDeleteResponse) string { return fmt.Sprintf("Role %s deleted", args[0]) },
			)
		},
	}
}

func roleListCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the roles",
		Example: "  fairlead role list",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.RoleList(ctx)
				if err != nil {
					return err
				}
				return a.Listed(resp, "ROLE", resp.Roles)
			})
		},
	}
}
