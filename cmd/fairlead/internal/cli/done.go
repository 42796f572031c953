package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
)

// done makes a call whose answer is that it was done, and says so in one line.
func done[R any](a *app, cmd *cobra.Command, ask func(context.Context, *clientv3.Client) (R, error), text func(R) string) error {
	return a.call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
		resp, err := ask(ctx, c)
		if err != nil {
			return err
		}
		return a.sayDone(resp, text(resp))
	})
}

func (a *app) sayDone(resp any, line string) error {
	p := a.printer()
	return p.print(resp, func() { fmt.Fprintln(p, line) }, func() ([]string, [][]string) {
		return []string{"RESULT"}, [][]string{{visible(line)}}
	})
}

// listed prints names, one on a line.
func (a *app) listed(resp any, header string, names []string) error {
	p := a.printer()
	return p.print(resp, func() {
		for _, n := range names {
			fmt.Fprintln(p, n)
		}
	}, func() ([]string, [][]string) {
		var rows [][]string
		for _, n := range names {
			rows = append(rows, []string{visible(n)})
		}
		return []string{header}, rows
	})
}

// nArgs wants as many arguments as it has names for.
func nArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		want := ""
		for i, n := range names {
			if i > 0 {
				want += " and "
			}
			want += n
		}
		return usageError{fmt.Errorf("%s needs %s, got %d arguments", cmd.CommandPath(), want, len(args))}
	}
}
