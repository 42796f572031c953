package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/migrate"
)

const migrateHelp = `Rewrites the imports of the Go files below DIR from the official etcd client (go.etcd.io/etcd/client/v3 and its older paths
go.etcd.io/etcd/clientv3 and github.com/coreos/etcd/clientv3) and from github.com/go-kit/kit/sd/etcdv3 to Fairlead's. Names and
calls stay as they are: the packages have the same.

Without --write it only shows the difference and lists what needs a look.`

func (a *app) migrateCommand() *cobra.Command {
	var write bool
	c := &cobra.Command{
		Use:     "migrate DIR",
		Short:   "Move a Go program from the official client",
		Long:    migrateHelp,
		Example: "  fairlead migrate .          # shows what would change\n  fairlead migrate --write .  # changes it",
		Args:    oneArg("a directory"),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := migrate.New(args[0])
			if err != nil {
				return err
			}
			if !write {
				if _, err := fmt.Fprint(a.env.Stdout, p.Diff()); err != nil {
					return err
				}
			} else if err := p.Apply(); err != nil {
				return err
			}
			a.reportMigration(p, write)
			return nil
		},
	}
	c.Flags().BoolVar(&write, "write", false, "change the files")
	return c
}

func (a *app) reportMigration(p *migrate.Plan, written bool) {
	out := a.env.Stderr // the difference alone is on standard output, so that it can be kept as a patch
	if len(p.Looks) > 0 {
		fmt.Fprintln(out, "These need a look:")
		for _, l := range p.Looks {
			fmt.Fprintln(out, "  "+l.String())
		}
	}
	imports := 0
	for _, f := range p.Files {
		imports += f.Imports
	}
	switch {
	case len(p.Files) == 0:
		fmt.Fprintf(out, "Nothing to change in %d Go files.\n", p.Scanned)
	case !written:
		fmt.Fprintf(out, "%d imports in %d of %d Go files would change; --write changes them.\n", imports, len(p.Files), p.Scanned)
	default:
		fmt.Fprintf(out, "%d imports in %d of %d Go files changed. Next:\n  go get github.com/fairlead-go/fairlead@latest\n", imports, len(p.Files), p.Scanned)
		if p.GoKit {
			fmt.Fprintln(out, "  go get github.com/fairlead-go/fairlead/gokit@latest")
		}
		fmt.Fprintln(out, "  go mod tidy\n  go vet ./...")
	}
}
