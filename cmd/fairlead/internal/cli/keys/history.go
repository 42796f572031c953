package keys

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

const historyHelp = `Show every revision of a key that is still there: the value that the key had at the last
compaction, and each put and deletion since.`

func historyCommand(a *command.App) *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:     "history KEY",
		Short:   "Show every revision of a key that is still there",
		Example: "  fairlead history config/limits --limit 5",
		Long:    historyHelp,
		Args:    command.OneArg("a key"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return command.Usage(errors.New("the key is empty"))
			}
			if limit < 0 {
				return command.Usage(errors.New("--limit is below 0"))
			}
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				bar := a.Wait("reading the history")
				list, compacted, err := history(ctx, c, args[0])
				bar.Stop()
				if err != nil {
					return err
				}
				if limit > 0 && len(list) > limit {
					list = list[len(list)-limit:]
				}
				return printHistory(a.Printer(), list, compacted)
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 0, "at most this many, the latest (0: all)")
	return c
}

// change is one revision of a key.
type change struct {
	kv      *mvccpb.KeyValue
	deleted bool
}

// quietFor is the pause that ends the reading of history from servers that do not report progress,
// such as the gRPC proxy: existing changes come without a pause.
const quietFor = time.Second

// history reads all revisions of a key by replaying its changes, since a read at a revision cannot
// find those before a deletion. compacted is the revision at which the history begins, 0 if it is
// complete.
func history(ctx context.Context, c *clientv3.Client, key string) (list []change, compacted int64, err error) {
	now, err := c.Get(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	last := int64(0) // the latest change, if the key exists
	if len(now.Kvs) > 0 {
		last = now.Kvs[0].ModRevision
	}
	from := int64(1)
	for {
		list, err = replay(ctx, c, key, from, now.Header.Revision, last)
		var gone compactedError
		if !errors.As(err, &gone) {
			return list, compacted, err
		}
		// The history may be compacted again meanwhile.
		compacted, from = int64(gone), int64(gone)
		base, err := c.Get(ctx, key, clientv3.WithRev(compacted))
		if err != nil {
			continue
		}
		rest, err := replay(ctx, c, key, from+1, now.Header.Revision, last)
		if errors.As(err, &gone) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		for _, kv := range base.Kvs {
			list = append(list, change{kv: kv})
		}
		return append(list, rest...), compacted, nil
	}
}

// compactedError is the first revision that has history.
type compactedError int64

func (e compactedError) Error() string { return fmt.Sprintf("compacted before revision %d", int64(e)) }

// replay reads the changes of a key from one revision to another. last is the latest of them, 0 if
// unknown. Older servers may report progress up to a revision before they have sent all changes up
// to it.
func replay(ctx context.Context, c *clientv3.Client, key string, from, to, last int64) (list []change, err error) {
	if from > to || last > 0 && from > last {
		return nil, nil
	}
	w := clientv3.NewWatcher(c) // with a stream of its own, so that progress can be requested
	defer w.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := w.Watch(ctx, key, clientv3.WithRev(from), clientv3.WithCreatedNotify())
	quiet := time.NewTimer(quietFor)
	defer quiet.Stop()
	for {
		select {
		case r, ok := <-events:
			switch {
			case !ok:
				return nil, ctx.Err()
			case r.CompactRevision != 0:
				return nil, compactedError(r.CompactRevision)
			case r.Err() != nil:
				return nil, r.Err()
			case r.Created:
				if err := w.RequestProgress(ctx); err != nil {
					return nil, err
				}
			case r.IsProgressNotify() && r.Header.Revision >= to && last == 0:
				return list, nil
			}
			for _, e := range r.Events {
				if e.Kv.ModRevision > to {
					return list, nil
				}
				list = append(list, change{e.Kv, e.Type == clientv3.EventTypeDelete})
				if e.Kv.ModRevision == to || e.Kv.ModRevision == last {
					return list, nil
				}
			}
			quiet.Reset(quietFor)
		case <-quiet.C:
			return list, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func printHistory(p *command.Printer, list []change, compacted int64) error {
	type revision struct {
		Revision int64  `json:"mod_revision"`
		Version  int64  `json:"version"`
		Deleted  bool   `json:"deleted,omitempty"`
		Value    []byte `json:"value,omitempty"`
		Lease    int64  `json:"lease,omitempty"`
	}
	answer := struct {
		Compacted int64      `json:"compact_revision,omitempty"`
		Revisions []revision `json:"revisions"`
	}{compacted, []revision{}}
	for _, c := range list {
		answer.Revisions = append(
			answer.Revisions,
			revision{c.kv.ModRevision, c.kv.Version, c.deleted, c.kv.Value, c.kv.Lease},
		)
	}
	value := func(r revision, show func([]byte) string) string {
		if r.Deleted {
			return "(deleted)"
		}
		return show(r.Value)
	}
	return p.Print(command.View{JSON: answer}, func() {
		if compacted > 0 {
			fmt.Fprintf(p, "(history begins at revision %d: all before it was compacted)\n", compacted)
		}
		for _, r := range answer.Revisions {
			fmt.Fprintf(p, "%d\t%s\n", r.Revision, value(r, p.Shown))
		}
	}, func() ([]string, [][]string) {
		var rows [][]string
		for _, r := range answer.Revisions {
			lease := ""
			if r.Lease != 0 {
				lease = command.IdText(uint64(r.Lease))
			}
			rows = append(rows, []string{fmt.Sprint(r.Revision), fmt.Sprint(r.Version), lease, value(r, p.Cell)})
		}
		return []string{"REVISION", "VERSION", "LEASE", "VALUE"}, rows
	})
}
