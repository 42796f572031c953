package keys

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func compactionCommand(a *command.App) *cobra.Command {
	var physical bool
	c := &cobra.Command{
		Use:     "compaction REVISION",
		Aliases: []string{"compact"},
		Short:   "Remove the history before a revision",
		Example: "  fairlead compaction 4711 --physical",
		Long: `Remove the history before a revision: nobody can read older revisions any more, or watch from them.
The keys' present values stay.`,
		Args: command.OneArg("a revision"),
		RunE: func(cmd *cobra.Command, args []string) error {
			rev, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return command.Usage(fmt.Errorf("%q is no revision", args[0]))
			}
			var opts []clientv3.CompactOption
			if physical {
				opts = append(opts, clientv3.WithCompactPhysical())
			}
			defer a.Wait("compacting").Stop()
			return command.Done(
				a,
				cmd,
				func(ctx context.Context, c *clientv3.Client) (*clientv3.CompactResponse, error) {
					return c.Compact(ctx, rev, opts...)
				},
				func(*clientv3.CompactResponse) string { return fmt.Sprintf("compacted revision %d", rev) },
			)
		},
	}
	c.Flags().BoolVar(&physical, "physical", false, "wait until the server has removed it from its database")
	return c
}
