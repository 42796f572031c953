package local

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/dev"
)

func devCommand(a *command.App) *cobra.Command {
	o := dev.Options{}
	listen := ConsoleAddress
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run an etcd cluster to develop against",
		Long: `Run an etcd cluster to develop against, until Ctrl-C.

One member listens on port 2379; three listen on 2379, 22379 and 32379. If one of these ports is
taken, a free one replaces it, and the command says so; a port that --port names is never replaced.
The web console runs beside the cluster.`,
		Example: "  fairlead dev --members 3 --port 12379 --console ''",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Members < 0 || cmd.Flags().Changed("members") && o.Members == 0 {
				return command.Usage(fmt.Errorf("--members %d: there must be one at least", o.Members))
			}
			if cmd.Flags().Changed("port") && o.Port == 0 {
				return command.Usage(fmt.Errorf("--port 0 is no port"))
			}
			o.Stdout, o.Stderr = a.Env.Stdout, a.Env.Stderr
			if listen != "" {
				f := consoleFlags{listen: listen, elsewhere: !cmd.Flags().Changed("console")}
				if err := f.check(); err != nil {
					return command.Usage(err)
				}
				o.Ready = f.beside
			}
			return dev.Run(cmd.Context(), o)
		},
	}
	c.Flags().
		IntVar(&o.Members, "members", 0, "number of members (default: as many as the data directory holds, else 1)")
	c.Flags().
		IntVar(&o.Port, "port", 0,
			"client port of the first member; further ports follow it, two for each member (default: the usual ones)")
	c.Flags().
		StringVar(&o.DataDir, "data-dir", "",
			"where to keep the data (default: a temporary directory, removed at the end)")
	c.Flags().StringVar(&listen, "console", ConsoleAddress, "where the web console listens; empty for none")
	c.Flags().
		StringVar(&o.LogLevel, "log-level", "", "also print etcd's log from this level on: debug, info, warn or error")
	return c
}
