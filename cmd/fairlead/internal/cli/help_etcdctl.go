package cli

import "github.com/spf13/cobra"

// etcdctlHelp makes "help etcdctl" work.
func etcdctlHelp() *cobra.Command {
	return &cobra.Command{Use: "etcdctl", Short: "What differs from etcdctl", Long: etcdctlText}
}

const etcdctlText = `Commands, arguments, flags, ETCDCTL_ variables and the output formats are those of etcdctl 3.7. What differs, and why:

Exit codes
  Wrong usage is 2, whatever is wrong; etcdctl ends with 128, 1, 3 or 4, and shows help and ends with 0 for a command that a
  family does not have ("lease nosuch"). One code tells a script that nothing was sent.
  No endpoint that could be used is 3; etcdctl ends with 1, as for a refusal.
  Every other failure is 1. etcdctl ends with 5 if snapshot save cannot write its file, with 2 if lease keep-alive --once finds
  no lease, and with 0 if lease keep-alive loses it: a script would believe that it is held.
  lock NAME PROGRAM ends with 127 or 126 if the program cannot be run, as a shell does; etcdctl with 1.
  watch -i at the end of its input, and txn without any, have done what was asked and end with 0; etcdctl with 3.

Arguments
  Words too many are refused. etcdctl ignores them with get, put, watch, member list, lease list, version, options, endpoint and
  defrag: quotes that were forgotten write something else then.
  What contradicts itself is refused: user add NAME:PASSWORD --no-password, --password without --user, lock --ttl 0 (etcdctl
  takes 60 s). So is a duration that is none in a variable, which etcdctl ignores.
  A flag beside its ETCDCTL_ variable wins, so that one call can differ from the rest; etcdctl refuses both. So does the key of
  watch beside ETCDCTL_WATCH_KEY.
  put KEY without a value takes standard input, an empty one too; etcdctl wants at least one byte there.
  user add and user passwd want a password in standard input; etcdctl makes a user with an empty one of no input.
  txn's input may end after any line: what does not follow is empty. etcdctl wants every empty line.
  get --count-only works in every format; etcdctl wants fields.
  elect NAME without a proposal prints each leader, as with --listen; etcdctl wants one of them.
  -o is short for --output, which is --write-out under another name; elect takes a program after --, as lock and watch do.

Output
  Keys and values that a terminal would act on (control characters, bytes that are no text) are shown in Go's escapes on a
  terminal, and as they are in files and pipes. etcdctl sends them to the terminal.
  Tables exist for every command, and fold to lists on narrow terminals. yaml is a format.
  Errors are one line for people on standard error; etcdctl puts a log line in JSON before them.
  version names this program, and the etcd whose API it has.
  snapshot status, snapshot hashkv and snapshot restore are commands here; etcdctl left them to etcdutl (whose hashkv writes to
  the file; ours does not). etcdutl's defrag and migrate, for the data directory of a stopped member, have no counterpart.

Connection
  Waiting for a server that starts is said on a terminal; --fail-fast does not wait.
  check perf and check datascale write under /fairlead-check-, and refuse a prefix that holds keys; perf takes a --duration.

More than etcdctl has: export, import, diff, history, top, doctor, console, svc, run, agent, dns, migrate, dev and demo.`
