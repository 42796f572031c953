package keys

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// delFlags are the flags of del, also inside a transaction.
type delFlags struct {
	prefix, fromKey, isRange, prevKV bool
}

func (f *delFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.prefix, "prefix", false, "all keys that begin with the key")
	fs.BoolVar(&f.fromKey, "from-key", false, "all keys that are equal to the key or after it")
	fs.BoolVar(&f.isRange, "range", false, "the keys from KEY up to, and without, RANGE_END, which must be given")
	fs.BoolVar(&f.prevKV, "prev-kv", false, "also print the deleted pairs")
}

func (f *delFlags) op(args []string) (clientv3.Op, error) {
	key, opts, err := rangeArgs("del", args, f.prefix, f.fromKey)
	if err != nil {
		return clientv3.Op{}, err
	}
	if f.isRange && len(args) != 2 {
		return clientv3.Op{}, errors.New("--range needs a key and an end of range")
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
		Example: "  fairlead del orders/17\n  fairlead del orders/ --prefix --prev-kv",
		RunE: func(cmd *cobra.Command, args []string) error {
			op, err := f.op(args)
			if err != nil {
				return command.Usage(err)
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
