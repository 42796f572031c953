package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/access"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/cluster"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/coordination"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/keys"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/local"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/services"
)

const rootHelp = `fairlead works with etcd clusters.

"fairlead demo" shows what it does on a cluster of its own. "fairlead dev" starts a cluster to
develop against. The other commands have the names, arguments and flags of etcdctl 3.7.

Every global flag has an environment variable: ETCDCTL_ and the flag's name in capitals, with _ for -,
like ETCDCTL_ENDPOINTS. A flag given on the command line wins.

` + exitCodes

const exitCodes = `Exit codes:
  0    done
  1    failed; standard error says why
  2    wrong usage; nothing was sent
  3    no endpoint could be used in time
  4    lock, elect: the ownership was lost
  130  interrupted (Ctrl-C); 143 for SIGTERM
  141  the reader closed the output
       run, and lock and elect with a program: the program's own exit status, 128 and the number of
       the signal that killed it; 127 if there is no such program, 126 if it cannot be run`

// exitCodesHelp makes "help exit-codes" work.
func exitCodesHelp() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodes}
}

// helpCommand is cobra's, except that an unknown topic is a usage error.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Help about a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return command.Usage(fmt.Errorf("no help about %q", strings.Join(args, " ")))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

const (
	groupLocal        = "local"
	groupKV           = "kv"
	groupCoordination = "coordination"
	groupService      = "service"
	groupCluster      = "cluster"
	groupAuth         = "auth"
)

func rootCommand(a *command.App) *cobra.Command {
	root := &cobra.Command{
		Use:   "fairlead",
		Short: "Work with etcd clusters",
		Long:  rootHelp,
		// Run prints both, in the same way for all errors.
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.ApplyEnvironment(cmd.Flags())
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return command.Usage(err) })
	root.AddGroup(
		&cobra.Group{ID: groupLocal, Title: "Clusters on this machine:"},
		&cobra.Group{ID: groupKV, Title: "Keys, watches and leases:"},
		&cobra.Group{ID: groupCoordination, Title: "Locks and elections:"},
		&cobra.Group{ID: groupService, Title: "Services:"},
		&cobra.Group{ID: groupCluster, Title: "The cluster:"},
		&cobra.Group{ID: groupAuth, Title: "Users and roles:"},
	)
	a.Conn.Register(root.PersistentFlags())
	a.Out.Register(root.PersistentFlags())
	add(a, root, groupLocal, local.Commands(a)...)
	add(a, root, groupKV, keys.Commands(a)...)
	add(a, root, groupCoordination, coordination.Commands(a)...)
	add(a, root, groupService, services.Commands(a)...)
	add(a, root, groupCluster, cluster.Commands(a)...)
	add(a, root, groupAuth, access.Commands(a)...)
	add(a, root, "", local.Processes(a)...)
	root.SetHelpCommand(helpCommand())
	root.CompletionOptions.DisableDefaultCmd = true // ours accepts etcdctl's arguments
	add(a, root, "", versionCommand(a), optionsCommand(a), completionCommand(a), exitCodesHelp(), etcdctlHelp())
	return root
}

// add adds commands to a group, and notes when one of them begins to run.
func add(a *command.App, parent *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		a.Track(c)
		parent.AddCommand(c)
	}
}
