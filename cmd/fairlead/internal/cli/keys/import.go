package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/transfer"
)

const importHelp = `Write the keys of a file that "fairlead export" made; FILE is - for standard input. The whole file
is checked first: nothing is written from a broken one.

Keys that are there with the same value are left alone, so you can run an interrupted import again.
A key that somebody changes meanwhile is left alone too and counted, and the exit code is 1.

--dry-run writes nothing and shows the difference: + for keys that would be new, ~ for changed ones,
- for deleted ones. --leases keep gives keys that had a lease a new one with the same time to live,
shared as before. The import does not renew it: the programs that own the keys must.

--absent puts back deleted keys: it writes only keys that are not there, whatever their values. It
leaves out keys that had a lease, since their owner is gone, and names them on standard error.`

func importCommand(a *command.App) *cobra.Command {
	var o transfer.Options
	var to, leases string
	c := &cobra.Command{
		Use:     "import FILE",
		Short:   "Write the keys of an exported file",
		Long:    importHelp,
		Example: "  fairlead import --dry-run orders.jsonl\n  fairlead import --to staging/ orders.jsonl",
		Args:    command.OneArg("a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch leases {
			case "keep":
				o.Leases = true
			case "drop":
			default:
				return command.Usage(fmt.Errorf("--leases is keep or drop, not %q", leases))
			}
			if o.Absent && (o.Leases || o.Prune) {
				return command.Usage(errors.New("--absent excludes --leases keep and --prune"))
			}
			if cmd.Flags().Changed("to") {
				o.To = &to
			}
			file, err := open(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			defer file.close()
			// Before anything is sent: an invalid file needs no cluster.
			if _, err := transfer.Check(file); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if _, err := file.Seek(0, io.SeekStart); err != nil {
				return err
			}
			return a.Stream(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				if err := a.Reachable(ctx, c, "import"); err != nil {
					return err
				}
				return importFile(ctx, a, c, file, o)
			})
		},
	}
	fs := c.Flags()
	fs.BoolVar(&o.Dry, "dry-run", false, "write nothing, show the difference")
	fs.BoolVar(&o.Absent, "absent", false, "only keys that are not there, and had no lease")
	fs.BoolVar(&o.Prune, "prune", false, "delete keys that begin with the prefix and are not in the file")
	fs.StringVar(&to, "to", "", "what replaces the exported prefix")
	fs.StringVar(&leases, "leases", "drop", "keep or drop")
	return c
}

func importFile(ctx context.Context, a *command.App, c *clientv3.Client, file io.ReadSeeker, o transfer.Options) error {
	bar := a.ProgressIf(!o.Dry || !a.OnTerminal(), "imported", countOfKeys)
	defer bar.Stop()
	o.Progress = bar.Set
	p := a.Printer()
	if o.Dry {
		o.OnChange = func(d transfer.Difference) { fmt.Fprintln(p, mark(d), p.Shown([]byte(d.Key))) }
	}
	o.LeftOut = func(key string) {
		fmt.Fprintf(a.Env.Stderr, "left out, since it had a lease: %s\n", command.Visible(key))
	}
	res, err := transfer.Import(ctx, c, file, o)
	bar.Stop()
	if err := p.Flush(); err != nil {
		return err
	}
	would := ""
	if o.Dry {
		would = "would be "
	}
	fmt.Fprintf(
		a.Env.Stderr,
		"%s%d added, %d changed, %d deleted; %d were there already\n",
		would,
		res.Added,
		res.Changed,
		res.Deleted,
		res.Same,
	)
	if err != nil {
		if !o.Dry {
			fmt.Fprintf(a.Env.Stderr, "not complete: %d keys are done; the same command does the rest\n", res.Keys)
		}
		return command.Ended(ctx, err)
	}
	if res.Kept > 0 {
		fmt.Fprintf(a.Env.Stderr, "%d are there with another value and were left alone\n", res.Kept)
	}
	if res.Leases > 0 {
		fmt.Fprintf(a.Env.Stderr, "%d leases were granted; their keys expire unless somebody renews them\n", res.Leases)
	}
	if res.Conflicts > 0 {
		return command.Reported(
			fmt.Sprintf("%d keys were changed by somebody else meanwhile and left alone", res.Conflicts),
		)
	}
	return nil
}

// mark returns + for a new key, - for a deleted one, ~ for a changed one.
func mark(d transfer.Difference) string {
	switch {
	case !d.HasOld:
		return "+"
	case !d.HasNew:
		return "-"
	}
	return "~"
}

// spooled is a file that can be read twice.
type spooled struct {
	*os.File
	temporary bool
}

func (s *spooled) close() {
	_ = s.Close()
	if s.temporary {
		_ = os.Remove(s.Name())
	}
}

// open opens a file; standard input, which can be read only once, is copied to a file.
func open(ctx context.Context, a *command.App, name string) (*spooled, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		return &spooled{File: f}, nil
	}
	f, err := os.CreateTemp("", "fairlead-import-*")
	if err != nil {
		return nil, err
	}
	s := &spooled{f, true}
	_, err = io.Copy(f, a.Stdin(ctx))
	if _, serr := f.Seek(0, io.SeekStart); err != nil || serr != nil {
		s.close()
		return nil, errors.Join(err, serr)
	}
	return s, nil
}
