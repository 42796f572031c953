package local

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/migrate"
)

const migrateHelp = `Rewrite the imports of the Go files below DIR: from the official etcd client
(go.etcd.io/etcd/client/v3 and its older paths go.etcd.io/etcd/clientv3 and
github.com/coreos/etcd/clientv3) and from github.com/go-kit/kit/sd/etcdv3 to Fairlead. Names and
calls stay as they are, since Fairlead's packages have the same.

With --replace no import changes. DIR is a module's directory. Its go.mod gets a line that puts
Fairlead in the place of the official client, for the program and for everything that it imports.
Then the module is tidied, which may download modules. Such a line acts in this module only, not in
modules that import it, and "go install PATH@VERSION" refuses a module that has one.

Without --write the command only shows the difference, and lists what needs a look.`

// replaceFlags choose what --replace inserts.
type replaceFlags struct {
	on   bool
	with migrate.With
}

func (f *replaceFlags) check() error {
	switch {
	case !f.on && (f.with.Version != "" || f.with.Checkout != ""):
		return command.Usage(errors.New("--version and --checkout say what --replace puts in: use them with it"))
	case f.with.Version != "" && f.with.Checkout != "":
		return command.Usage(errors.New("--version and --checkout exclude each other"))
	case f.with.Version == "" && f.with.Checkout == "":
		f.with.Version = "latest"
	}
	return nil
}

func migrateCommand(a *command.App) *cobra.Command {
	var write bool
	var replace replaceFlags
	c := &cobra.Command{
		Use:   "migrate DIR",
		Short: "Move a Go program from the official client",
		Long:  migrateHelp,
		Example: "  fairlead migrate .                    # shows what would change\n  fairlead migrate --write .    " +
			" " +
			" " +
			" " +
			" " +
			" " +
			" " +
			" " +
			" " +
			"# changes it\n" +
			"  fairlead migrate --replace --write .  # changes go.mod instead of the imports",
		Args: command.OneArg("a directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := replace.check(); err != nil {
				return err
			}
			plan := func() (*migrate.Plan, error) { return migrate.New(args[0]) }
			if replace.on {
				plan = func() (*migrate.Plan, error) {
					return migrate.NewReplacement(cmd.Context(), args[0], replace.with)
				}
			}
			p, err := plan()
			if err != nil {
				return err
			}
			if !write {
				if _, err := fmt.Fprint(a.Env.Stdout, p.Diff()); err != nil {
					return err
				}
			} else if err := p.Apply(); err != nil {
				return err
			}
			reportLooks(a, p)
			if replace.on {
				reportReplacement(a, p, write)
			} else {
				reportMigration(a, p, write)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&write, "write", false, "change the files")
	c.Flags().BoolVar(&replace.on, "replace", false, "change go.mod instead of the imports, for the dependencies too")
	c.Flags().
		StringVar(&replace.with.Version, "version", "",
			"`version` of the drop-in module for --replace (default the latest)")
	c.Flags().
		StringVar(&replace.with.Checkout, "checkout", "",
			"`directory` with Fairlead's repository for --replace, instead of a version")
	return c
}

// reportLooks writes to standard error, as all reports do: standard output has only the difference,
// so that it can be saved as a patch.
func reportLooks(a *command.App, p *migrate.Plan) {
	if len(p.Looks) > 0 {
		fmt.Fprintln(a.Env.Stderr, "These need a look:")
		for _, l := range p.Looks {
			fmt.Fprintln(a.Env.Stderr, "  "+l.String())
		}
	}
}

func reportReplacement(a *command.App, p *migrate.Plan, written bool) {
	var names []string
	for _, f := range p.Files {
		names = append(names, f.Path)
	}
	files := strings.Join(names, " and ")
	switch {
	case files == "":
		fmt.Fprintln(a.Env.Stderr, "Nothing to change.")
	case !written:
		fmt.Fprintf(a.Env.Stderr, "%s would change; --write changes them.\n", files)
	default:
		fmt.Fprintf(
			a.Env.Stderr,
			"Changed: %s. Next:\n  go vet ./...\n  go list -m go.etcd.io/etcd/client/v3   # names what stands in its "+
				"place\n",
			files,
		)
	}
}

func reportMigration(a *command.App, p *migrate.Plan, written bool) {
	out := a.Env.Stderr
	imports := 0
	for _, f := range p.Files {
		imports += f.Imports
	}
	switch {
	case len(p.Files) == 0:
		fmt.Fprintf(out, "Nothing to change in %d Go files.\n", p.Scanned)
	case !written:
		fmt.Fprintf(
			out,
			"%d imports in %d of %d Go files would change; --write changes them.\n",
			imports,
			len(p.Files),
			p.Scanned,
		)
	default:
		fmt.Fprintf(
			out,
			"%d imports in %d of %d Go files changed. Next:\n  go get github.com/fairlead-go/fairlead@latest\n",
			imports,
			len(p.Files),
			p.Scanned,
		)
		for _, module := range p.Modules {
			fmt.Fprintf(out, "  go get %s@latest\n", module)
		}
		fmt.Fprintln(out, "  go mod tidy\n  go vet ./...")
	}
}
