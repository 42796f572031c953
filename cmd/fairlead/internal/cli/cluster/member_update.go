package cluster

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func memberUpdateCommand(a *command.App) *cobra.Command {
	var peerURLs string
	c := &cobra.Command{
		Use:     "update ID --peer-urls URL[,URL]",
		Short:   "Change where the other members reach a member",
		Example: "  fairlead member update 8e9e05c52164694d --peer-urls http://10.0.0.5:2380",
		Args:    command.OneArg("a member's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseMember(args[0])
			if err != nil {
				return err
			}
			urls, err := peers(peerURLs)
			if err != nil {
				return err
			}
			return command.Done(
				a,
				cmd,
				func(ctx context.Context, c *clientv3.Client) (*clientv3.MemberUpdateResponse, error) {
					return c.MemberUpdate(ctx, id, urls)
				},
				func(r *clientv3.MemberUpdateResponse) string {
					return fmt.Sprintf("Member %16x updated in cluster %16x", id, r.Header.ClusterId)
				},
			)
		},
	}
	c.Flags().StringVar(&peerURLs, "peer-urls", "", "the new ones, separated by commas")
	return c
}
