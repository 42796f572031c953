package services

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/discovery"
)

func svcSplitCommand(a *command.App, records *recordFlags) *cobra.Command {
	var remove bool
	var split discovery.Split
	short := "Split the calls to a service between its instances by percentage"
	c := &cobra.Command{
		Use:   "split SERVICE [FILTER=PERCENT...]",
		Short: short,
		Long: short + `, say between two versions; without percentages show how they are split. A filter is a version
(v1, or version=v1), tag=NAME or meta.NAME=VALUE, or several joined by commas. The percentages add
up to 100. Instances that match no filter get no calls. If no instance of a filter works, the others
share its calls; if none works at all, every instance gets some. All callers that use Fairlead
follow a change at once. It lasts until it is changed again.`,
		Example: "  fairlead svc split orders v1=95 v2=5\n  fairlead svc split orders tag=canary=1 tag=stable=99\n  " +
			"fairlead svc split orders\n  fairlead svc split orders --remove",
		Args: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) == 0 || remove && len(args) > 1 {
				return command.Usage(
					fmt.Errorf("%s needs a service, and may take percentages or --remove", cmd.CommandPath()),
				)
			}
			if split, err = discovery.ParseSplit(args[1:]...); err != nil {
				return command.Usage(err)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && !remove {
				return showSplit(cmd.Context(), a, records, args[0])
			}
			err := changeControl(cmd.Context(), a, args[0], func(ctl *discovery.Control) { ctl.Split = split })
			if err != nil {
				return err
			}
			return sayUnmatched(cmd.Context(), a, records, args[0], split)
		},
	}
	c.Flags().BoolVar(&remove, "remove", false, "do not split the calls any more")
	return c
}

// sayUnmatched reports which filters of a split match no instance now: the version may not run yet,
// or the filter may have a typing error. The split is in force already, so a failure to find out is
// not an error.
func sayUnmatched(
	ctx context.Context,
	a *command.App,
	records *recordFlags,
	service string,
	split discovery.Split,
) error {
	format, _, err := records.records()
	if err != nil || len(split) == 0 {
		return err
	}
	return a.Call(ctx, func(ctx context.Context, c *clientv3.Client) error {
		view, err := view(ctx, a, c, format, service)
		if err != nil {
			return nil
		}
		for _, f := range split.Filters() {
			if split[f] > 0 && !slices.ContainsFunc(view.Instances(), f.Matches) {
				fmt.Fprintf(
					a.Env.Stderr,
					"No instance of %s is %s now.\n",
					command.Visible(service),
					command.Visible(string(f)),
				)
			}
		}
		return nil
	})
}

// changeControl changes a service's control record.
func changeControl(ctx context.Context, a *command.App, service string, change func(*discovery.Control)) error {
	return a.Call(ctx, func(ctx context.Context, c *clientv3.Client) error {
		err := discovery.ChangeControl(ctx, c, service, func(ctl *discovery.Control) error {
			change(ctl)
			return nil
		})
		if err != nil {
			return err
		}
		p := a.Printer()
		fmt.Fprintln(p, "OK")
		return p.Flush()
	})
}

// subset is a part of a split.
type subset struct {
	Filter    discovery.Filter `json:"filter"`
	Percent   float64          `json:"percent"`
	Instances int              `json:"instances"` // those that take calls
}

func showSplit(ctx context.Context, a *command.App, records *recordFlags, service string) error {
	format, _, err := records.records()
	if err != nil {
		return err
	}
	return a.Call(ctx, func(ctx context.Context, c *clientv3.Client) error {
		control, err := discovery.ReadControl(ctx, c, service)
		if err != nil {
			return err
		}
		view, err := view(ctx, a, c, format, service)
		if err != nil {
			return err
		}
		list := []subset{}
		for _, f := range control.Split.Filters() {
			s := subset{Filter: f, Percent: control.Split[f]}
			for in := range view.All() {
				if f.Matches(in) && !in.IsDraining() {
					s.Instances++
				}
			}
			list = append(list, s)
		}
		p := a.Printer()
		return p.Print(list, func() {
			for _, s := range list {
				fmt.Fprintf(p, "%s=%s %d\n", command.Visible(string(s.Filter)), percent(s.Percent), s.Instances)
			}
		}, func() ([]string, [][]string) {
			var rows [][]string
			for _, s := range list {
				rows = append(rows, []string{
					command.Visible(string(s.Filter)), percent(s.Percent), fmt.Sprint(s.Instances),
				})
			}
			return []string{"FILTER", "PERCENT", "INSTANCES"}, rows
		})
	})
}

func percent(p float64) string { return strconv.FormatFloat(p, 'f', -1, 64) }

// splits describes in words the parts of a split that match an instance.
func splits(s discovery.Split, in *discovery.Instance) string {
	if len(s) == 0 {
		return ""
	}
	var words []string
	for _, f := range s.Filters() {
		if f.Matches(in) {
			words = append(words, fmt.Sprintf("split:%s=%s", command.Visible(string(f)), percent(s[f])))
		}
	}
	if len(words) == 0 {
		return "split:none"
	}
	return strings.Join(words, ",")
}
