package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func moveLeaderCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "move-leader ID",
		Short:   "Make another member the leader",
		Example: "  fairlead move-leader 8e9e05c52164694d",
		Long:    "Make another member the leader. The present leader must be among the endpoints.",
		Args:    command.OneArg("a member's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := parseMember(args[0])
			if err != nil {
				return err
			}
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				from, err := leader(ctx, a, c)
				if err != nil {
					return err
				}
				resp, err := c.MoveLeader(ctx, to)
				if errors.Is(err, rpctypes.ErrNotLeader) {
					return fmt.Errorf(
						"the leader, %s, is not among the endpoints %v: %w",
						command.IdText(from),
						c.Endpoints(),
						err,
					)
				}
				if err != nil {
					return err
				}
				return a.SayDone(
					resp,
					fmt.Sprintf("Leadership transferred from %s to %s", command.IdText(from), command.IdText(to)),
				)
			})
		},
	}
}

// leader returns the leader's id, from the first endpoint that answers.
func leader(ctx context.Context, a *command.App, c *clientv3.Client) (uint64, error) {
	var failures []error
	for _, ep := range c.Endpoints() {
		resp, err := c.Status(ctx, ep)
		if err == nil && resp.Leader != 0 {
			return resp.Leader, nil
		}
		failures = append(failures, err)
	}
	if err := errors.Join(failures...); err != nil {
		return 0, err
	}
	return 0, rpctypes.ErrNoLeader
}
