package cluster

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/snapshot"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func snapshotSaveCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "save FILE",
		Short:   "Save a member's database to a file",
		Example: "  fairlead snapshot save backup.db",
		Long: `Save a member's database to a file, from which "snapshot restore" makes a cluster. The file appears
once it is complete and verified. An interrupted command leaves no file, and does not touch one that
was there before. With several endpoints, any of them gives the snapshot. --command-timeout does not
apply.`,
		Args: command.OneArg("a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.NeedsNoMessage(); err != nil {
				return err
			}
			return a.Stream(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				if err := a.Reachable(ctx, c, "snapshot"); err != nil {
					return err
				}
				bar := a.Progress("snapshot", command.BytesText)
				defer bar.Stop()
				info, err := snapshot.Fetch(ctx, c, args[0], snapshot.WithProgress(func(p snapshot.Progress) {
					bar.Set(p.Bytes, p.Bytes+p.Left)
				}))
				if err != nil {
					return command.Ended(ctx, err)
				}
				bar.Stop()
				return printSnapshotSaved(a.Printer(), args[0], info)
			})
		},
	}
}

func printSnapshotSaved(p *command.Printer, path string, info snapshot.Info) error {
	v := struct {
		Path    string `json:"path"`
		Version string `json:"version,omitempty"`
		Size    int64  `json:"size"`
	}{path, info.Version, info.Size}
	return p.Print(v, func() {
		fmt.Fprintln(p, "Snapshot saved at", path)
		if info.Version != "" {
			fmt.Fprintln(p, "Server version", info.Version)
		}
	}, func() ([]string, [][]string) {
		return []string{"PATH", "VERSION", "SIZE"}, [][]string{{path, info.Version, command.BytesText(info.Size)}}
	})
}
