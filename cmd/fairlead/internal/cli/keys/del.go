package keys

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/backoff"
)

// secondThoughts is how long users who meant two keys have to interrupt the deletion of a range;
// the figure is etcdctl's.
const secondThoughts = 2 * time.Second

// delFlags are the flags of del, also inside a transaction.
type delFlags struct {
	prefix, fromKey, isRange, prevKV bool
}

func (f *delFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.prefix, "prefix", false, "all keys that begin with the key")
	fs.BoolVar(&f.fromKey, "from-key", false, "all keys that are equal to the key or after it")
	fs.BoolVar(&f.isRange, "range", false, "with RANGE_END: delete at once, without waiting")
	fs.BoolVar(&f.prevKV, "prev-kv", false, "also print the deleted pairs")
}

func (f *delFlags) op(args []string) (clientv3.Op, error) {
	key, opts, err := rangeArgs("del", args, f.prefix, f.fromKey)
	if err != nil {
		return clientv3.Op{}, err
	}
	if f.prevKV {
		opts = append(opts, clientv3.WithPrevKV())
	}
	return clientv3.OpDelete(key, opts...), nil
}

func delCommand(a *command.App) *cobra.Command {
	var f delFlags
	c := &cobra.Command{
		Use:     "del KEY [RANGE_END]",
		Short:   "Delete a key or a range of keys",
		Example: "  fairlead del orders/17\n  fairlead del orders/ --prefix --prev-kv\n  fairlead del --range a c",
		Long: "Delete a key or a range of keys. KEY RANGE_END means the keys from KEY up to RANGE_END, without\n" +
			"that one. If two keys were meant, there are two seconds for Ctrl-C: the command says so and waits.\n" +
			"--range skips that.",
		RunE: func(cmd *cobra.Command, args []string) error {
			op, err := f.op(args)
			if err != nil {
				return command.Usage(err)
			}
			if len(args) == 2 && !f.isRange {
				fmt.Fprintf(a.Env.Stderr,
					"The keys from %q up to %q will be deleted in %v; Ctrl-C prevents it. --range does not wait.\n",
					args[0], args[1], secondThoughts)
				if backoff.Sleep(cmd.Context(), secondThoughts) != nil {
					return context.Cause(cmd.Context())
				}
			}
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.Do(ctx, op)
				if err != nil {
					return err
				}
				return printDel(a.Printer(), resp.Del())
			})
		},
	}
	f.register(c.Flags())
	return c
}

func printDel(p *command.Printer, resp *clientv3.DeleteResponse) error {
	return p.Print(resp, func() { printDelPlain(p, resp) }, func() ([]string, [][]string) {
		if len(resp.PrevKvs) == 0 {
			return []string{
					"DELETED",
					"REVISION",
				}, [][]string{
					{fmt.Sprint(resp.Deleted), fmt.Sprint(resp.Header.Revision)},
				}
		}
		return p.KeyValueTable(resp.PrevKvs)
	})
}

func printDelPlain(p *command.Printer, resp *clientv3.DeleteResponse) {
	fmt.Fprintln(p, resp.Deleted)
	for _, kv := range resp.PrevKvs {
		p.KeyValue(kv)
	}
}
