package command

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
)

// Done makes a call whose answer has no data, and prints in one line that it was done.
func Done[R any](
	a *App,
	cmd *cobra.Command,
	ask func(context.Context, *clientv3.Client) (R, error),
	text func(R) string,
) error {
	return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
		resp, err := ask(ctx, c)
		if err != nil {
			return err
		}
		return a.SayDone(resp, text(resp))
	})
}

// SayDone prints an answer that has only one line for people.
func (a *App) SayDone(resp any, line string) error {
	p := a.Printer()
	return p.Print(resp, func() { fmt.Fprintln(p, line) }, func() ([]string, [][]string) {
		return []string{"RESULT"}, [][]string{{Visible(line)}}
	})
}

// Listed prints names, one per line.
func (a *App) Listed(resp any, header string, names []string) error {
	p := a.Printer()
	return p.Print(resp, func() {
		for _, n := range names {
			fmt.Fprintln(p, n)
		}
	}, func() ([]string, [][]string) {
		var rows [][]string
		for _, n := range names {
			rows = append(rows, []string{Visible(n)})
		}
		return []string{header}, rows
	})
}
