package keys

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

type watchFlags struct {
	prefix, prevKV, progressNotify bool
	rev                            int64
}

func (f *watchFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.prefix, "prefix", false, "all keys that begin with the key")
	fs.BoolVar(&f.prevKV, "prev-kv", false, "also print the pair as it was before each change")
	fs.BoolVar(
		&f.progressNotify,
		"progress-notify",
		false,
		"also print the server's progress notifications when nothing changes",
	)
	fs.Int64Var(&f.rev, "rev", 0, "begin at this revision (0: now)")
}

// watchRequest is one watch.
type watchRequest struct {
	key     string
	opts    []clientv3.OpOption
	prevKV  bool
	program []string // to run for each event
}

// request reads "KEY [RANGE_END]".
func (f *watchFlags) request(args, program []string) (watchRequest, error) {
	var none watchRequest
	if len(args) == 0 || len(args) > 2 {
		return none, errors.New("watch needs a key, and may take an end of range; a program goes after --")
	}
	key, opts, err := rangeArgs("watch", args, f.prefix, false)
	if err != nil {
		return none, err
	}
	if f.rev < 0 {
		return none, fmt.Errorf("--rev %d: revisions are not negative", f.rev)
	}
	opts = append(opts, clientv3.WithRev(f.rev))
	if f.prevKV {
		opts = append(opts, clientv3.WithPrevKV())
	}
	if f.progressNotify {
		opts = append(opts, clientv3.WithProgressNotify())
	}
	return watchRequest{key, opts, f.prevKV, program}, nil
}

func watchCommand(a *command.App) *cobra.Command {
	var f watchFlags
	var interactive, resume bool
	c := &cobra.Command{
		Use:   "watch [KEY [RANGE_END]] [-- PROGRAM [ARGUMENTS]]",
		Short: "Print the changes of a key or a range of keys until interrupted",
		Example: "  fairlead watch orders/ --prefix --prev-kv\n  fairlead watch config/limits -- sh -c 'echo " +
			"$ETCD_WATCH_VALUE'",
		Long: `Print the changes of a key or a range of keys until interrupted. If a program is
given, it is run for each change, with this environment:
  ETCD_WATCH_KEY, ETCD_WATCH_VALUE     the pair, as quoted text
  ETCD_WATCH_EVENT_TYPE                "PUT" or "DELETE", with the quotes
  ETCD_WATCH_REVISION                  the store's revision when the change was delivered
  FAIRLEAD_WATCH_MOD_REVISION          the revision of the change
A program that fails ends the watch.

Without arguments the key and the end of the range come from ETCDCTL_WATCH_KEY and
ETCDCTL_WATCH_RANGE_END.

With --interactive standard input has a command per line: "watch" with these flags and arguments
begins a watch, and "progress" prints how far all of them are.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if interactive {
				return watchInteractive(cmd.Context(), a, resume)
			}
			own, program := command.SplitProgram(cmd, args)
			if len(own) == 0 {
				own = watchedByEnvironment(a)
			}
			req, err := f.request(own, program)
			if err != nil {
				return command.Usage(err)
			}
			return a.Stream(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				if err := a.Reachable(ctx, c, req.key); err != nil {
					return err
				}
				w, done := watcher(c, resume)
				defer done()
				return watch(ctx, a, w, req, &watchOutput{p: a.Printer()})
			})
		},
	}
	f.register(c.Flags())
	c.Flags().BoolVarP(&interactive, "interactive", "i", false, "read watch commands from standard input")
	c.Flags().
		BoolVar(&resume, "resume", false,
			"go on after a compaction, of --rev too: print how the keys differ from what was printed")
	return c
}

// watcher returns the client's watcher, or one that goes on after compactions.
func watcher(c *clientv3.Client, resume bool) (w clientv3.Watcher, done func()) {
	if !resume {
		return c, func() {}
	}
	w = clientv3.NewResumingWatcher(c, c)
	return w, func() { _ = w.Close() } // the client stays open
}

func watchedByEnvironment(a *command.App) []string {
	var args []string
	for _, name := range []string{"ETCDCTL_WATCH_KEY", "ETCDCTL_WATCH_RANGE_END"} {
		v, ok := a.Env.LookupEnv(name)
		if !ok || v == "" {
			break
		}
		args = append(args, v)
	}
	return args
}

// watch ends with ctx, with the watch, or when the output or the program fails.
func watch(ctx context.Context, a *command.App, w clientv3.Watcher, req watchRequest, out *watchOutput) error {
	for resp := range w.Watch(ctx, req.key, req.opts...) {
		if err := resp.Err(); err != nil {
			return fmt.Errorf("the watch has ended: %w", err)
		}
		if resp.Synthesized {
			fmt.Fprintf(
				a.Env.Stderr,
				"the history before revision %d was compacted; this is the difference\n",
				resp.Header.GetRevision(),
			)
		}
		if err := out.write(&resp, req.prevKV); err != nil {
			return err
		}
		if err := runForEvents(ctx, a, req.program, &resp); err != nil {
			return err
		}
	}
	return command.Ended(ctx, errors.New("the watch has ended"))
}

// watchJSON has the names that etcdctl gives the members.
type watchJSON struct {
	Header          *pb.ResponseHeader
	Events          []*clientv3.Event
	CompactRevision int64
	Canceled        bool
	Created         bool
	CancelReason    string
	Synthesized     bool `json:",omitempty"`
}

func printWatch(p *command.Printer, resp *clientv3.WatchResponse, prevKV bool, rows *int) error {
	switch p.Format {
	case command.FormatJSON, command.FormatYAML:
		v := watchJSON{
			resp.Header,
			resp.Events,
			resp.CompactRevision,
			resp.Canceled,
			resp.Created,
			resp.CancelReason,
			resp.Synthesized,
		}
		write := p.JSON
		if p.Format == command.FormatYAML {
			write = p.Yaml
		}
		if err := write(v); err != nil {
			return err
		}
	case command.FormatFields:
		if err := p.Fields(resp); err != nil {
			return err
		}
	case command.FormatProtobuf:
		if err := p.Protobuf(resp); err != nil {
			return err
		}
	case command.FormatTable:
		// A stream has no last row to close a frame, so the columns have fixed widths.
		for _, e := range resp.Events {
			if *rows == 0 {
				fmt.Fprintf(p, "%-10s  %-6s  %-30s  %s\n", "REVISION", "TYPE", "KEY", "VALUE")
			}
			*rows++
			fmt.Fprintf(p, "%-10d  %-6s  %-30s  %s\n", e.Kv.ModRevision, e.Type, p.Cell(e.Kv.Key), p.Cell(e.Kv.Value))
		}
	default:
		printWatchPlain(p, resp, prevKV)
	}
	return p.Flush()
}

func printWatchPlain(p *command.Printer, resp *clientv3.WatchResponse, prevKV bool) {
	if resp.IsProgressNotify() {
		fmt.Fprintf(p, "progress notify: %d\n", resp.Header.Revision)
	}
	for _, e := range resp.Events {
		fmt.Fprintln(p, e.Type)
		if prevKV && e.PrevKv != nil {
			p.KeyValue(e.PrevKv)
		}
		p.KeyValue(e.Kv)
	}
}
