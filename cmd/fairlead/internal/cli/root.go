package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

const rootHelp = `fairlead works with etcd clusters.

"fairlead demo" shows what it does on a cluster of its own. "fairlead dev" starts a cluster to
develop against. The other commands have the names, arguments and flags of etcdctl 3.7.

Every global flag has an environment variable: ETCDCTL_ and the flag's name in capitals, with _ for -,
like ETCDCTL_ENDPOINTS. A flag given on the command line wins.

Exit codes:
  0    done
  1    failed; standard error says why
  2    wrong usage; nothing was sent
  3    no endpoint could be used in time
       run: the program's own exit status
  130  interrupted (Ctrl-C); 143 for SIGTERM`

const (
	groupLocal   = "local"
	groupKV      = "kv"
	groupCluster = "cluster"
	groupService = "service"
)

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "fairlead",
		Short: "Work with etcd clusters",
		Long:  rootHelp,
		// Both are printed by Run, in one way for all errors.
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.applyEnvironment(cmd.Flags())
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddGroup(
		&cobra.Group{ID: groupLocal, Title: "Clusters on this machine:"},
		&cobra.Group{ID: groupKV, Title: "Keys, watches and leases:"},
		&cobra.Group{ID: groupService, Title: "Services:"},
		&cobra.Group{ID: groupCluster, Title: "The cluster:"},
	)
	a.conn.register(root.PersistentFlags())
	a.out.register(root.PersistentFlags())
	a.add(root, groupLocal, a.devCommand(), a.demoCommand())
	a.add(root, groupKV, a.getCommand(), a.putCommand(), a.delCommand(), a.txnCommand(), a.watchCommand(),
		a.family("lease", "Grant, revoke, look at and keep leases",
			a.leaseGrantCommand(), a.leaseRevokeCommand(), a.leaseTimeToLiveCommand(), a.leaseListCommand(), a.leaseKeepAliveCommand()))
	a.add(root, groupService, a.svcCommand(), a.runCommand(), a.dnsCommand())
	a.add(root, groupCluster,
		a.family("member", "Look at the members", a.memberListCommand()),
		a.family("endpoint", "Ask each endpoint", a.endpointStatusCommand(), a.endpointHealthCommand()))
	a.add(root, "", a.memberRunCommand(), a.candidateRunCommand(), a.greeterRunCommand(), a.versionCommand())
	return root
}

// add puts commands into a group and notes when one begins to run.
func (a *app) add(parent *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		a.track(c)
		parent.AddCommand(c)
	}
}

func (a *app) track(c *cobra.Command) {
	if run := c.RunE; run != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			a.ran.Store(true)
			return run(cmd, args)
		}
	}
}

// family is a command that only has sub-commands.
func (a *app) family(name, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: name, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New(cmd.CommandPath() + " needs a sub-command")}
			}
			return usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	for _, sub := range subs {
		a.track(sub)
		c.AddCommand(sub)
	}
	return c
}
