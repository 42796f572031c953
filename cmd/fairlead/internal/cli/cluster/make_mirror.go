package cluster

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
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// mirrorReportEvery is how often the number of written keys is printed, as by etcdctl.
const mirrorReportEvery = 30 * time.Second

type mirrorFlags struct {
	prefix, destPrefix string
	noDestPrefix       bool
	rev                int64
	maxTxnOps          uint
	reconcile          bool
	dest               command.ConnFlags
}

func (f *mirrorFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.prefix, "prefix", "", "mirror the keys that begin with this; all if empty")
	fs.StringVar(&f.destPrefix, "dest-prefix", "", "what replaces --prefix in the destination")
	fs.BoolVar(&f.noDestPrefix, "no-dest-prefix", false, "the keys lose --prefix in the destination")
	fs.Int64Var(&f.rev, "rev", 0, "begin with the changes after this revision, if the destination holds it already")
	fs.UintVar(&f.maxTxnOps, "max-txn-ops", 128, "accepted, without effect: a transaction has up to 127 changes")
	fs.BoolVar(
		&f.reconcile,
		"reconcile",
		false,
		"accept a destination that holds other data; it is overwritten and deleted",
	)
	fs.StringVar(&f.dest.Cacert, "dest-cacert", "", "as --cacert, for the destination")
	fs.StringVar(&f.dest.Cert, "dest-cert", "", "as --cert, for the destination")
	fs.StringVar(&f.dest.Key, "dest-key", "", "as --key, for the destination")
	fs.BoolVar(
		&f.dest.InsecureTransport,
		"dest-insecure-transport",
		true,
		"as --insecure-transport, for the destination",
	)
	fs.StringVar(&f.dest.User, "dest-user", "", "as --user, for the destination")
	fs.StringVar(&f.dest.Password, "dest-password", "", "as --password, for the destination")
}

func makeMirrorCommand(a *command.App) *cobra.Command {
	var f mirrorFlags
	c := &cobra.Command{
		Use:     "make-mirror DESTINATION",
		Short:   "Copy keys to another cluster and keep the copy up to date",
		Example: "  fairlead make-mirror --prefix orders/ --dest-prefix copy/orders/ backup.example.com:2379",
		Long: `Copy keys to another cluster and keep the copy up to date until interrupted. DESTINATION is an
endpoint, or several separated by commas. A key of the destination records how far the copy is, so
that an interrupted mirror goes on there. The number of keys written is printed every 30 seconds.`,
		Args: command.OneArg("a destination"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.noDestPrefix && f.destPrefix != "" {
				return command.Usage(errors.New("--dest-prefix and --no-dest-prefix exclude each other"))
			}
			if f.noDestPrefix && f.prefix == "" {
				return command.Usage(errors.New("--no-dest-prefix needs a --prefix that the keys lose"))
			}
			dest, err := destination(a, &f, args[0])
			if err != nil {
				return err
			}
			return a.Stream(cmd.Context(), func(ctx context.Context, from *clientv3.Client) error {
				if err := a.Reachable(ctx, from, "mirror"); err != nil {
					return err
				}
				return dest.Stream(ctx, func(ctx context.Context, to *clientv3.Client) error {
					if err := dest.Reachable(ctx, to, "mirror"); err != nil {
						return dest.Explain(ctx, to, fmt.Errorf("the destination: %w", err))
					}
					return runMirror(ctx, a, from, to, &f)
				})
			})
		},
	}
	f.register(c.Flags())
	return c
}

// destination returns a run with the other cluster's endpoints and credentials.
func destination(a *command.App, f *mirrorFlags, endpoints string) (*command.App, error) {
	dest := &command.App{Env: a.Env, Conn: a.Conn, Out: a.Out}
	conn := &dest.Conn
	conn.Endpoints, conn.DiscoverySRV, conn.Token = strings.Split(endpoints, ","), "", ""
	conn.Cacert, conn.Cert, conn.Key = f.dest.Cacert, f.dest.Cert, f.dest.Key
	conn.InsecureTransport, conn.InsecureSkipVerify = f.dest.InsecureTransport, false
	conn.User, conn.Password = f.dest.User, f.dest.Password
	if _, err := conn.Secured(); err != nil {
		return nil, command.Usage(fmt.Errorf("the destination: %w", err))
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
	if f.rev != 0 {
		opts = append(opts, mirror.WithRevision(f.rev))
	}
	if f.reconcile {
		opts = append(opts, mirror.WithReconcile())
	}
	return opts
}

func runMirror(ctx context.Context, a *command.App, from, to *clientv3.Client, f *mirrorFlags) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	bar := a.Progress("mirrored", func(n int64) string { return fmt.Sprintf("%d keys", n) })
	defer bar.Stop()
	latest := make(chan int64, 1) // the newest count, until it is reported
	reporter := make(chan struct{})
	go func() {
		defer close(reporter)
		if err := reportMirror(ctx, a, latest); err != nil {
			cancel(err)
		}
	}()
	err := mirror.Run(ctx, from, to, append(f.options(), mirror.WithProgress(func(p mirror.Progress) {
		n := p.Puts + p.Deletes
		bar.Set(n, 0)
		select {
		case <-latest: // a newer count replaces it
		default:
		}
		latest <- n // there is room: only this goroutine sends
	}))...)
	err = command.Ended(ctx, err)
	cancel(nil)
	<-reporter
	if errors.Is(err, mirror.ErrTargetNotEmpty) {
		return fmt.Errorf("%w; --reconcile makes it the same as the source, and deletes all other keys", err)
	}
	return err
}

// reportMirror prints the number of written keys from time to time.
func reportMirror(ctx context.Context, a *command.App, latest <-chan int64) error {
	line := "%d\n"
	if a.OnTerminal() {
		line = "\r\x1b[K" + line // in place of the bar, which is drawn again below
	}
	t := time.NewTicker(mirrorReportEvery)
	defer t.Stop()
	count := int64(0)
	for {
		select {
		case count = <-latest:
		case <-t.C:
			if _, err := fmt.Fprintf(a.Env.Stdout, line, count); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}
