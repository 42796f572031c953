package keys

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/transfer"
	"github.com/fairlead-go/fairlead/internal/wholefile"
)

const exportHelp = `Write the keys that begin with PREFIX ("" for all) as they are at one revision, one JSON value per
line, to standard output or to --file, which appears once it is complete. "fairlead import" reads
it.

Keys and values that are not UTF-8 are in base64, as key64 and value64. --command-timeout does not
apply.`

func countOfKeys(n int64) string { return fmt.Sprintf("%d keys", n) }

func exportCommand(a *command.App) *cobra.Command {
	var file string
	var rev int64
	c := &cobra.Command{
		Use:     "export PREFIX",
		Short:   "Write the keys with a prefix to a file",
		Long:    exportHelp,
		Example: "  fairlead export orders/ --file orders.jsonl\n  fairlead export \"\" | gzip > all.gz",
		Args:    command.OneArg("a prefix, which may be empty,"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if rev < 0 {
				return command.Usage(errors.New("--rev is below 0"))
			}
			if _, err := wholefile.Target(file); err != nil {
				return command.Usage(fmt.Errorf("--file: %w", err))
			}
			return a.Stream(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				if err := a.Reachable(ctx, c, "export"); err != nil {
					return err
				}
				bar := a.ProgressIf(file != "" || !a.OnTerminal(), "exported", countOfKeys)
				defer bar.Stop()
				write := func(w io.Writer) error {
					_, err := transfer.Export(ctx, c, args[0], rev, w, bar.Set)
					return command.Ended(ctx, err)
				}
				if file == "" {
					return write(a.Env.Stdout)
				}
				return wholefile.Stream(file, 0o600, write)
			})
		},
	}
	c.Flags().StringVar(&file, "file", "", "write to this file instead of standard output")
	c.Flags().Int64Var(&rev, "rev", 0, "the revision to export (0: the latest)")
	return c
}
