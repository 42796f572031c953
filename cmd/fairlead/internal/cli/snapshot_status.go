package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type snapshotStatus struct {
	Hash      uint32 `json:"hash"`
	Revision  int64  `json:"revision"`
	TotalKey  int    `json:"totalKey"`
	TotalSize int64  `json:"totalSize"`
	Version   string `json:"version"`
}

// snapshotLockTimeout is etcdutl's.
const snapshotLockTimeout = 10 * time.Second

func registerLockTimeout(fs *pflag.FlagSet, timeout *time.Duration) {
	fs.DurationVar(timeout, "timeout", snapshotLockTimeout, "how long to wait for a file that another process has open for writing (0: for ever)")
}

func (a *app) snapshotStatusCommand() *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:     "status FILE",
		Short:   "Show what a snapshot file holds",
		Example: "  fairlead snapshot status backup.db -w table",
		Long: `Show the hash, the revision, the number of keys, the size and the version of a snapshot, as etcdutl does. The digest
at the end of a file that "snapshot save" wrote is checked.`,
		Args: oneArg("a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.needsNoMessage(); err != nil {
				return err
			}
			bar := a.progress("reading "+args[0], bytesText)
			defer bar.stop()
			s, err := readSnapshot(cmd.Context(), args[0], timeout, bar.set)
			if err != nil {
				return err
			}
			bar.stop()
			return a.printer().snapshotStatus(s)
		},
	}
	registerLockTimeout(c.Flags(), &timeout)
	return c
}

func (s snapshotStatus) fields(p *printer) {
	p.field("Hash", s.Hash)
	p.field("Revision", s.Revision)
	p.field("Keys", s.TotalKey)
	p.field("Size", s.TotalSize)
	p.field("Version", s.Version)
}

func (p *printer) snapshotStatus(s snapshotStatus) error {
	row := []string{fmt.Sprintf("%x", s.Hash), fmt.Sprint(s.Revision), fmt.Sprint(s.TotalKey), bytesText(s.TotalSize), s.Version}
	return p.print(s, func() {
		fmt.Fprintf(p, "%s, %s, %s, %s, %s\n", row[0], row[1], row[2], row[3], row[4])
	}, func() ([]string, [][]string) {
		return []string{"HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE", "VERSION"}, [][]string{row}
	})
}
