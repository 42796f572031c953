package cli

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/version"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  fairlead version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			own := "(devel)"
			if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
				own = info.Main.Version
			}
			_, err := fmt.Fprintf(a.env.Stdout, "fairlead %s\netcd API %s\n", own, version.Version)
			return err
		},
	}
}
