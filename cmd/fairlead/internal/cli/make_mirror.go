package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/mirror"
)

// mirrorReportEvery is how often etcdctl says how many keys it has written.
const mirrorReportEvery = 30 * time.Second

type mirrorFlags struct {
	prefix, destPrefix string
	noDestPrefix       bool
	rev                int64
	maxTxnOps          uint
	reconcile          bool
	dest               connFlags
}

func (f *mirrorFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.prefix, "prefix", "", "mirror the keys that begin with this; all if empty")
	fs.StringVar(&f.destPrefix, "dest-prefix", "", "what replaces --prefix in the destination")
	fs.BoolVar(&f.noDestPrefix, "no-dest-prefix", false, "the keys lose --prefix in the destination")
	fs.Int64Var(&f.rev, "rev", 0, "begin with the changes after this revision, for a destination that shows it already")
	fs.UintVar(&f.maxTxnOps, "max-txn-ops", 128, "accepted for etcdctl's sake; a transaction has up to 127 changes")
	fs.BoolVar(&f.reconcile, "reconcile", false, "let the destination hold other data, which is overwritten and deleted")
	fs.StringVar(&f.dest.cacert, "dest-cacert", "", "as --cacert, for the destination")
	fs.StringVar(&f.dest.cert, "dest-cert", "", "as --cert, for the destination")
	fs.StringVar(&f.dest.key, "dest-key", "", "as --key, for the destination")
	fs.BoolVar(&f.dest.insecureTransport, "dest-insecure-transport", true, "as --insecure-transport, for the destination")
	fs.StringVar(&f.dest.user, "dest-user", "", "as --user, for the destination")
	fs.StringVar(&f.dest.password, "dest-password", "", "as --password, for the destination")
}

func (a *app) makeMirrorCommand() *cobra.Command {
	var f mirrorFlags
	c := &cobra.Command{
		Use:     "make-mirror DESTINATION",
		Short:   "Copy keys to another cluster and keep the copy up to date",
		Example: "  fairlead make-mirror --prefix orders/ --dest-prefix copy/orders/ backup.example.com:2379",
		Long: `Copy keys to another cluster and keep the copy up to date until interrupted. DESTINATION is an endpoint, or several
separated by commas. How far the copy is stands in a key of the destination, from which an interrupted mirror goes on.
The number of keys written is printed every 30 seconds.`,
		Args: oneArg("a destination"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.noDestPrefix && f.destPrefix != "" {
				return usageError{errors.New("--dest-prefix and --no-dest-prefix exclude each other")}
			}
			if f.noDestPrefix && f.prefix == "" {
				return usageError{errors.New("--no-dest-prefix needs a --prefix that the keys lose")}
			}
			dest, err := a.destination(&f, args[0])
			if err != nil {
				return err
			}
			return a.stream(cmd.Context(), func(ctx context.Context, from *clientv3.Client) error {
				if err := a.reachable(ctx, from, "mirror"); err != nil {
					return err
				}
				return dest.stream(ctx, func(ctx context.Context, to *clientv3.Client) error {
					if err := dest.reachable(ctx, to, "mirror"); err != nil {
						return dest.explain(ctx, to, fmt.Errorf("the destination: %w", err))
					}
					return a.mirror(ctx, from, to, &f)
				})
			})
		},
	}
	f.register(c.Flags())
	return c
}

// destination is a run with the other cluster's endpoints and credentials.
func (a *app) destination(f *mirrorFlags, endpoints string) (*app, error) {
	dest := &app{env: a.env, conn: a.conn, out: a.out}
	conn := &dest.conn
	conn.endpoints, conn.discoverySRV, conn.token = strings.Split(endpoints, ","), "", ""
	conn.cacert, conn.cert, conn.key = f.dest.cacert, f.dest.cert, f.dest.key
	conn.insecureTransport, conn.insecureSkipVerify = f.dest.insecureTransport, false
	conn.user, conn.password = f.dest.user, f.dest.password
	if _, err := conn.secured(); err != nil {
		return nil, usageError{fmt.Errorf("the destination: %w", err)}
	}
	return dest, nil
}

func (f *mirrorFlags) options() []mirror.Option {
	opts := []mirror.Option{mirror.WithPrefix(f.prefix)}
	switch {
	case f.noDestPrefix:
		opts = append(opts, mirror.WithTargetPrefix(""))
	case f.destPrefix != "":
		opts = append(opts, mirror.WithTargetPrefix(f.destPrefix))
	}
	if f.rev > 0 {
		opts = append(opts, mirror.WithRevision(f.rev))
	}
	if f.reconcile {
		opts = append(opts, mirror.WithReconcile())
	}
	return opts
}

func (a *app) mirror(ctx context.Context, from, to *clientv3.Client, f *mirrorFlags) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	bar := a.progress("mirrored", func(n int64) string { return fmt.Sprintf("%d keys", n) })
	defer bar.stop()
	latest := make(chan int64, 1) // the newest count that was not reported
	reporter := make(chan struct{})
	go func() {
		defer close(reporter)
		if err := a.reportMirror(ctx, latest); err != nil {
			cancel(err)
		}
	}()
	err := mirror.Run(ctx, from, to, append(f.options(), mirror.WithProgress(func(p mirror.Progress) {
		n := p.Puts + p.Deletes
		bar.set(n, 0)
		select {
		case <-latest: // replaced
		default:
		}
		latest <- n // there is room: only this goroutine puts in
	}))...)
	err = ended(ctx, err)
	cancel(nil)
	<-reporter
	if errors.Is(err, mirror.ErrTargetNotEmpty) {
		return fmt.Errorf("%w; --reconcile makes it the same as the source, and deletes what that does not have", err)
	}
	return err
}

// reportMirror prints the number of keys written now and then.
func (a *app) reportMirror(ctx context.Context, latest <-chan int64) error {
	line := "%d\n"
	if a.onTerminal() {
		line = "\r\x1b[K" + line // over the bar, which is drawn again below
	}
	t := time.NewTicker(mirrorReportEvery)
	defer t.Stop()
	count := int64(0)
	for {
		select {
		case count = <-latest:
		case <-t.C:
			if _, err := fmt.Fprintf(a.env.Stdout, line, count); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}
