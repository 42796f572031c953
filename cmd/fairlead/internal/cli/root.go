package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
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
  141  who reads the output has closed it
       run, and lock and elect with a program: the program's own exit status, 128 and the number of
       the signal that killed it; 127 if there is no such program, 126 if it cannot be run`

// exitCodesHelp makes "help exit-codes" work.
func exitCodesHelp() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodes}
}

// helpCommand is cobra's, but for topics that do not exist, which are wrong usage.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Help about a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usageError{fmt.Errorf("no help about %q", strings.Join(args, " "))}
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
		&cobra.Group{ID: groupCoordination, Title: "Locks and elections:"},
		&cobra.Group{ID: groupService, Title: "Services:"},
		&cobra.Group{ID: groupCluster, Title: "The cluster:"},
		&cobra.Group{ID: groupAuth, Title: "Users and roles:"},
	)
	a.conn.register(root.PersistentFlags())
	a.out.register(root.PersistentFlags())
	a.add(root, groupLocal, a.devCommand(), a.demoCommand())
	a.add(root, groupKV, a.getCommand(), a.putCommand(), a.delCommand(), a.txnCommand(), a.watchCommand(), a.compactionCommand(),
		a.family("lease", "Grant, revoke, look at and keep leases",
			a.leaseGrantCommand(), a.leaseRevokeCommand(), a.leaseTimeToLiveCommand(), a.leaseListCommand(), a.leaseKeepAliveCommand()))
	a.add(root, groupCoordination, a.lockCommand(), a.electCommand())
	a.add(root, groupService, a.svcCommand(), a.runCommand(), a.dnsCommand(), a.agentCommand())
	a.add(root, groupCluster,
		a.family("member", "Look at and change the members",
			a.memberListCommand(), a.memberAddCommand(), a.memberRemoveCommand(), a.memberUpdateCommand(), a.memberPromoteCommand()),
		a.endpointCommand(),
		a.family("alarm", "List and disarm alarms", a.alarmListCommand(), a.alarmDisarmCommand()),
		a.defragCommand(), a.moveLeaderCommand(),
		a.family("check", "Put load on the cluster and judge how it takes it", a.checkPerfCommand(), a.checkDatascaleCommand()),
		a.family("snapshot", "Save, look at and restore snapshots",
			a.snapshotSaveCommand(), a.snapshotStatusCommand(), a.snapshotHashKVCommand(), a.snapshotRestoreCommand()),
		a.makeMirrorCommand(),
		a.family("downgrade", "Prepare a downgrade of the cluster",
			a.downgradeValidateCommand(), a.downgradeEnableCommand(), a.downgradeCancelCommand()))
	a.add(root, groupAuth,
		a.family("auth", "Switch authentication on and off", a.authEnableCommand(), a.authDisableCommand(), a.authStatusCommand()),
		a.userCommand(), a.roleCommand())
	root.SetHelpCommand(helpCommand())
	root.CompletionOptions.DisableDefaultCmd = true // ours has etcdctl's arguments
	a.add(root, groupLocal, a.migrateCommand(), a.consoleCommand())
	a.add(root, groupKV, a.historyCommand(), a.exportCommand(), a.importCommand(), a.diffCommand())
	a.add(root, groupCluster, a.doctorCommand(), a.topCommand())
	a.add(root, "", a.memberRunCommand(), a.candidateRunCommand(), a.greeterRunCommand(), a.versionCommand(),
		a.optionsCommand(), a.completionCommand(), exitCodesHelp(), etcdctlHelp())
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
				return nil
			}
			return usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, sub := range subs {
		a.track(sub)
		c.AddCommand(sub)
	}
	return c
}
