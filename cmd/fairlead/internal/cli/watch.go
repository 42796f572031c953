package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
)

type watchFlags struct {
	prefix, prevKV, progressNotify bool
	rev                            int64
}

func (f *watchFlags) options(args []string) (string, []clientv3.OpOption, error) {
	if len(args) == 0 || len(args) > 2 {
		return "", nil, errors.New("watch needs a key and takes an end of range besides")
	}
	key, opts, err := rangeArgs("watch", args, f.prefix, false)
	if err != nil {
		return "", nil, err
	}
	if f.rev < 0 {
		return "", nil, fmt.Errorf("--rev %d: revisions are not negative", f.rev)
	}
	opts = append(opts, clientv3.WithRev(f.rev))
	if f.prevKV {
		opts = append(opts, clientv3.WithPrevKV())
	}
	if f.progressNotify {
		opts = append(opts, clientv3.WithProgressNotify())
	}
	return key, opts, nil
}

func (a *app) watchCommand() *cobra.Command {
	var f watchFlags
	c := &cobra.Command{
		Use:   "watch KEY [RANGE_END]",
		Short: "Print the changes of a key or a range of keys until interrupted",
		RunE: func(cmd *cobra.Command, args []string) error {
			key, opts, err := f.options(args)
			if err != nil {
				return usageError{err}
			}
			return a.stream(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				if err := a.reachable(ctx, c, key); err != nil {
					return err
				}
				return a.watch(ctx, c, key, opts, f.prevKV)
			})
		},
	}
	fs := c.Flags()
	fs.BoolVar(&f.prefix, "prefix", false, "all keys that begin with the key")
	fs.BoolVar(&f.prevKV, "prev-kv", false, "also print the pair as it was before each change")
	fs.BoolVar(&f.progressNotify, "progress-notify", false, "also print the server's notes of how far it is when nothing changes")
	fs.Int64Var(&f.rev, "rev", 0, "begin at this revision (0: now)")
	return c
}

// reachable makes one small read, so that a command without a time limit on a cluster that is not there ends with the reason
// instead of waiting for it to come. Any answer will do, also a refusal.
func (a *app) reachable(ctx context.Context, c *clientv3.Client, key string) error {
	ctx, cancel := context.WithTimeout(ctx, a.conn.commandTimeout)
	defer cancel()
	_, err := c.Get(ctx, key, clientv3.WithCountOnly(), clientv3.WithSerializable())
	if isUnreachable(err) {
		return err
	}
	return nil
}

// watch ends with ctx, with the watch, or when the output does.
func (a *app) watch(ctx context.Context, c *clientv3.Client, key string, opts []clientv3.OpOption, prevKV bool) error {
	p := a.printer()
	rows := 0
	for resp := range c.Watch(ctx, key, opts...) {
		if err := resp.Err(); err != nil {
			return fmt.Errorf("the watch has ended: %w", err)
		}
		if err := p.watch(&resp, prevKV, &rows); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.New("the watch has ended")
}

func (p *printer) watch(resp *clientv3.WatchResponse, prevKV bool, rows *int) error {
	switch p.format {
	case formatJSON:
		if err := p.json(resp); err != nil {
			return err
		}
	case formatTable:
		// A stream has no last row to close a frame with, so the columns have fixed widths.
		for _, e := range resp.Events {
			if *rows == 0 {
				fmt.Fprintf(p, "%-10s  %-6s  %-30s  %s\n", "REVISION", "TYPE", "KEY", "VALUE")
			}
			*rows++
			fmt.Fprintf(p, "%-10d  %-6s  %-30s  %s\n", e.Kv.ModRevision, e.Type, p.cell(e.Kv.Key), p.cell(e.Kv.Value))
		}
	default:
		p.watchPlain(resp, prevKV)
	}
	return p.Flush()
}

func (p *printer) watchPlain(resp *clientv3.WatchResponse, prevKV bool) {
	if resp.IsProgressNotify() {
		fmt.Fprintf(p, "progress notify: %d\n", resp.Header.Revision)
	}
	for _, e := range resp.Events {
		fmt.Fprintln(p, e.Type)
		if prevKV && e.PrevKv != nil {
			p.keyValue(e.PrevKv)
		}
		p.keyValue(e.Kv)
	}
}
