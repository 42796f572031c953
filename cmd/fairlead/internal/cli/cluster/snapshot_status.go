package cluster

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

type snapshotStatus struct {
	Hash      uint32 `json:"hash"`
	Revision  int64  `json:"revision"`
	TotalKey  int    `json:"totalKey"`
	TotalSize int64  `json:"totalSize"`
	Version   string `json:"version"`
}

// snapshotLockTimeout is the same as etcdutl's.
const snapshotLockTimeout = 10 * time.Second

func registerLockTimeout(fs *pflag.FlagSet, timeout *time.Duration) {
	fs.DurationVar(
		timeout,
		"timeout",
		snapshotLockTimeout,
		"how long to wait for a file that another process has open for writing (0: for ever)",
	)
}

func snapshotStatusCommand(a *command.App) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:     "status FILE",
		Short:   "Show what a snapshot file holds",
		Example: "  fairlead snapshot status backup.db -w table",
		Long: `Show the hash, the revision, the number of keys, the size and the version of a snapshot, as etcdutl
does. If the file has a digest at its end, as "snapshot save" writes it, that is checked.`,
		Args: command.OneArg("a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.NeedsNoMessage(); err != nil {
				return err
			}
			bar := a.Progress("reading "+args[0], command.BytesText)
			defer bar.Stop()
			s, err := readSnapshot(cmd.Context(), args[0], timeout, bar.Set)
			if err != nil {
				return err
			}
			bar.Stop()
			return printSnapshotStatus(a.Printer(), s)
		},
	}
	registerLockTimeout(c.Flags(), &timeout)
	return c
}

// Fields writes the status with the names of etcdctl and etcdutl.
func (s snapshotStatus) Fields(p *command.Printer) {
	p.Field("Hash", s.Hash)
	p.Field("Revision", s.Revision)
	p.Field("Keys", s.TotalKey)
	p.Field("Size", s.TotalSize)
	p.Field("Version", s.Version)
}

func printSnapshotStatus(p *command.Printer, s snapshotStatus) error {
	row := []string{
		fmt.Sprintf("%x", s.Hash),
		fmt.Sprint(s.Revision),
		fmt.Sprint(s.TotalKey),
		command.BytesText(s.TotalSize),
		s.Version,
	}
	return p.Print(s, func() {
		fmt.Fprintf(p, "%s, %s, %s, %s, %s\n", row[0], row[1], row[2], row[3], row[4])
	}, func() ([]string, [][]string) {
		return []string{"HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE", "VERSION"}, [][]string{row}
	})
}
