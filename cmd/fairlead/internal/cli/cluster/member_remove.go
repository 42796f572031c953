package cluster

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func memberRemoveCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "remove ID",
		Short:   "Remove a member",
		Example: "  fairlead member remove 8e9e05c52164694d",
		Args:    command.OneArg("a member's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseMember(args[0])
			if err != nil {
				return err
			}
			return command.Done(
				a,
				cmd,
				func(ctx context.Context, c *clientv3.Client) (*clientv3.MemberRemoveResponse, error) {
					return c.MemberRemove(ctx, id)
				},
				func(r *clientv3.MemberRemoveResponse) string {
					return fmt.Sprintf("Member %16x removed from cluster %16x", id, r.Header.ClusterId)
				},
			)
		},
	}
}
