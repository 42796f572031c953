package cli

import "github.com/spf13/cobra"

// etcdctlHelp makes "help etcdctl" work.
func etcdctlHelp() *cobra.Command {
	return &cobra.Command{Use: "etcdctl", Short: "What differs from etcdctl", Long: etcdctlText}
}

const etcdctlText = `Commands, arguments, flags, ETCDCTL_ variables and the output formats are those of etcdctl 3.7. What differs, and why:

Exit codes
  Wrong usage is always 2; etcdctl ends with 128, 1, 3 or 4, and for an unknown command of a family ("lease nosuch") it
  shows help and ends with 0. From the one code a script learns that nothing was sent.
  If no endpoint could be used the code is 3, and 4 if lock or elect loses what it holds; etcdctl ends with 1, as for a
  refusal.
  Every other failure is 1. etcdctl ends with 5 if snapshot save cannot write its file, with 2 if lease keep-alive --once finds
  no lease, and with 0 if lease keep-alive loses it: a script would believe that it is held.
  lock NAME PROGRAM ends with 127 or 126 if the program cannot be run, as a shell does; etcdctl with 1.
  If a signal ends lock or elect, or lock's program, the code is 128 plus the signal's number, as for watch; etcdctl ends
  with 0, or with 255 if there is a program.
  Output that cannot be written, on a full disk, is a failure; etcdctl ends with 0.
  watch -i at the end of its input, and txn without any, have done what was asked and end with 0; etcdctl with 3.

Arguments
  Superfluous arguments are refused. etcdctl ignores them with get, put, watch, member list, lease list, version,
  options, endpoint and defrag: if quotes are forgotten, it writes something else.
  Contradictions are refused: user add NAME:PASSWORD --no-password, --password without --user, lock --ttl 0 (etcdctl
  takes 60 s). So is a variable that should be a duration and is not, which etcdctl ignores.
  A flag beside its ETCDCTL_ variable wins, so that one call can differ from the rest; etcdctl refuses both. So does the key of
  watch beside ETCDCTL_WATCH_KEY.
  put KEY without a value takes standard input, an empty one too; etcdctl needs at least one byte there.
  user add and user passwd need a password in standard input; if there is none, etcdctl sets an empty one. So does --user
  NAME, which etcdctl then ignores.
  txn's input may end after any line; the parts that are missing are empty. etcdctl needs every empty line.
  get --count-only works in every format; etcdctl needs fields.
  elect NAME without a proposal prints each leader, as with --listen; etcdctl needs one of them.
  lock gives its standard input to the program; etcdctl does not.
  -o is short for --output, which is --write-out under another name; elect takes a program after --, as lock and watch do.

Output
  On a terminal, bytes that it would act on or cannot show (control characters, bytes that are no text) are printed as
  Go's escapes; in files and pipes they stay as they are. etcdctl sends them to the terminal.
  Tables exist for every command, and fold to lists on narrow terminals. yaml is a format.
  Errors are one line for people on standard error; etcdctl prints a log line in JSON before them.
  A password that comes through a pipe is not asked for; etcdctl prints the question into the output.
  snapshot save follows symbolic links, and refuses what is no regular file; etcdctl replaces it, be it /dev/stdout.
  version prints this program's version, and that of the etcd API.
  snapshot status, snapshot hashkv and snapshot restore are commands here; etcdctl left them to etcdutl (whose hashkv writes to
  the file; ours does not). etcdutl's defrag and migrate, for the data directory of a stopped member, have no counterpart.

Connection
  On a terminal the program says that it waits for a server to start; --fail-fast does not wait.
  check perf and check datascale write under /fairlead-check-, and refuse a prefix that holds keys; perf takes a --duration.

More than etcdctl has: export, import, diff, history, top, doctor, console, svc, run, agent, dns, migrate, dev and demo.`
