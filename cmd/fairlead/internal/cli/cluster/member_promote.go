package cluster

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func memberPromoteCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "promote ID",
		Short:   "Give a learner that has caught up a vote",
		Example: "  fairlead member promote 8e9e05c52164694d",
		Args:    command.OneArg("a member's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseMember(args[0])
			if err != nil {
				return err
			}
			return command.Done(
				a,
				cmd,
				func(ctx context.Context, c *clientv3.Client) (*clientv3.MemberPromoteResponse, error) {
					return c.MemberPromote(ctx, id)
				},
				func(r *clientv3.MemberPromoteResponse) string {
					return fmt.Sprintf("Member %16x promoted in cluster %16x", id, r.Header.ClusterId)
				},
			)
		},
	}
}
