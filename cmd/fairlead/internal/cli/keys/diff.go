package keys

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/transfer"
)

const diffHelp = `Compare the keys below two prefixes, or below one prefix at two revisions (--rev, --other-rev) or in
two clusters (--other-endpoints, reached with the same certificates and user). Each side is read at
one revision.

Lines begin with + for keys that only the second side has, - for keys that only the first side has,
~ for different values. On a terminal, bytes that it could not show are printed as escapes. In JSON,
keys and values that are not UTF-8 are in base64, as key64, old64 and new64.

The exit code is 0 if nothing differs and 1 if something does.`

type diffFlags struct {
	rev, otherRev int64
	endpoints     string
	values, count bool
}

func diffCommand(a *command.App) *cobra.Command {
	var f diffFlags
	c := &cobra.Command{
		Use:   "diff PREFIX [OTHER-PREFIX]",
		Short: "Compare two prefixes, revisions or clusters",
		Long:  diffHelp,
		Example: "  fairlead diff staging/ production/\n  fairlead diff orders/ --rev 4711\n  fairlead diff orders/ " +
			"--other-endpoints backup:2379",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > 2 {
				return command.Usage(
					errors.New("diff needs a prefix, which may be empty, and may take another one"),
				)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.rev < 0 || f.otherRev < 0 {
				return command.Usage(errors.New("a revision is below 0"))
			}
			if len(args) == 1 && f.rev == f.otherRev && f.endpoints == "" {
				return command.Usage(
					errors.New("nothing to compare with: name another prefix, a revision or other endpoints"),
				)
			}
			other := args[len(args)-1]
			return a.Stream(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				if err := a.Reachable(ctx, c, "diff"); err != nil {
					return err
				}
				first := transfer.Side{Client: c, Prefix: args[0], Rev: f.rev}
				if f.endpoints == "" {
					return diff(ctx, a, first, transfer.Side{Client: c, Prefix: other, Rev: f.otherRev}, &f)
				}
				there := &command.App{Env: a.Env, Conn: a.Conn, Out: a.Out}
				there.Conn.Endpoints, there.Conn.DiscoverySRV = strings.Split(f.endpoints, ","), ""
				return there.Stream(ctx, func(ctx context.Context, c *clientv3.Client) error {
					if err := there.Reachable(ctx, c, "diff"); err != nil {
						return there.Explain(ctx, c, fmt.Errorf("the other cluster: %w", err))
					}
					return diff(ctx, a, first, transfer.Side{Client: c, Prefix: other, Rev: f.otherRev}, &f)
				})
			})
		},
	}
	fs := c.Flags()
	fs.Int64Var(&f.rev, "rev", 0, "the revision of the first side (0: the latest)")
	fs.Int64Var(&f.otherRev, "other-rev", 0, "the revision of the second side (0: the latest)")
	fs.StringVar(&f.endpoints, "other-endpoints", "", "where the second side is, if it is another cluster")
	fs.BoolVar(&f.values, "values", false, "show the values too")
	fs.BoolVar(&f.count, "count-only", false, "only count")
	return c
}

func diff(ctx context.Context, a *command.App, first, second transfer.Side, f *diffFlags) error {
	p := a.Printer()
	defer p.Flush()
	type difference struct {
		Kind string  `json:"kind"`
		Key  *string `json:"key,omitempty"`
		Old  *string `json:"old,omitempty"`
		New  *string `json:"new,omitempty"`
		// Bytes that are not UTF-8, in base64.
		Key64 []byte `json:"key64,omitempty"`
		Old64 []byte `json:"old64,omitempty"`
		New64 []byte `json:"new64,omitempty"`
	}
	var added, removed, changed int
	bar := a.ProgressIf(f.count || !a.OnTerminal(), "comparing", nil)
	defer bar.Stop()
	for d, err := range transfer.Diff(ctx, first, second) {
		if err != nil {
			return command.Ended(ctx, err)
		}
		kind := ""
		switch m := mark(d); m {
		case "+":
			kind = "added"
			added++
		case "-":
			kind = "removed"
			removed++
		default:
			kind = "changed"
			changed++
		}
		switch {
		case f.count:
		case p.Format == command.FormatJSON:
			line := difference{Kind: kind}
			line.Key, line.Key64 = transfer.Text([]byte(d.Key))
			if f.values && d.HasOld {
				line.Old, line.Old64 = transfer.Text([]byte(d.Old))
			}
			if f.values && d.HasNew {
				line.New, line.New64 = transfer.Text([]byte(d.New))
			}
			if err := p.JSON(line); err != nil {
				return err
			}
		default:
			fmt.Fprintln(p, mark(d), p.Shown([]byte(d.Key)))
			if f.values && d.HasOld {
				fmt.Fprintln(p, "  -", p.Shown([]byte(d.Old)))
			}
			if f.values && d.HasNew {
				fmt.Fprintln(p, "  +", p.Shown([]byte(d.New)))
			}
		}
	}
	if err := p.Flush(); err != nil {
		return err
	}
	bar.Stop()
	if f.count {
		fmt.Fprintf(a.Env.Stdout, "%d added, %d removed, %d changed\n", added, removed, changed)
	}
	if added+removed+changed > 0 {
		return command.ChildError{Code: command.ExitFailed} // the output shows the reason
	}
	return nil
}
