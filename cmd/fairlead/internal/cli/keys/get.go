package keys

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// getFlags are the flags of get, also inside a transaction.
type getFlags struct {
	consistency                    string
	prefix, fromKey                bool
	limit, rev                     int64
	sortBy, order                  string
	keysOnly, countOnly, valueOnly bool
	stream                         bool // not inside a transaction
	minCreate, maxCreate           int64
	minMod, maxMod                 int64
}

func (f *getFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.consistency, "consistency", "l", "l (linearizable) or s (serializable: faster, may be stale)")
	fs.BoolVar(&f.prefix, "prefix", false, "all keys that begin with the key")
	fs.BoolVar(&f.fromKey, "from-key", false, "all keys that are equal to the key or after it")
	fs.Int64Var(&f.limit, "limit", 0, "at most this many keys (0: all)")
	fs.Int64Var(&f.rev, "rev", 0, "as of this revision (0: now)")
	fs.StringVar(&f.sortBy, "sort-by", "", "CREATE, KEY, MODIFY, VALUE or VERSION")
	fs.StringVar(&f.order, "order", "", "ASCEND or DESCEND")
	fs.BoolVar(&f.keysOnly, "keys-only", false, "keys without values")
	fs.BoolVar(&f.countOnly, "count-only", false, "only the number of keys")
	fs.BoolVar(&f.valueOnly, "print-value-only", false, "only values, in the plain format")
	fs.Int64Var(&f.minCreate, "min-create-rev", 0, "only keys created at this revision or later")
	fs.Int64Var(&f.maxCreate, "max-create-rev", 0, "only keys created at this revision or earlier")
	fs.Int64Var(&f.minMod, "min-mod-rev", 0, "only keys changed at this revision or later")
	fs.Int64Var(&f.maxMod, "max-mod-rev", 0, "only keys changed at this revision or earlier")
}

func (f *getFlags) op(args []string) (clientv3.Op, error) {
	key, opts, err := f.options(args)
	return clientv3.OpGet(key, opts...), err
}

func (f *getFlags) options(args []string) (string, []clientv3.OpOption, error) {
	key, opts, err := rangeArgs("get", args, f.prefix, f.fromKey)
	if err != nil {
		return "", nil, err
	}
	switch f.consistency {
	case "l":
	case "s":
		opts = append(opts, clientv3.WithSerializable())
	default:
		return "", nil, fmt.Errorf("--consistency is l or s, not %q", f.consistency)
	}
	if f.keysOnly && f.countOnly {
		return "", nil, errors.New("--keys-only and --count-only exclude each other")
	}
	if f.sortBy != "" || f.order != "" {
		target, order, err := sortOf(f.sortBy, f.order)
		if err != nil {
			return "", nil, err
		}
		opts = append(opts, clientv3.WithSort(target, order))
	}
	opts = append(opts, clientv3.WithLimit(f.limit), clientv3.WithRev(f.rev),
		clientv3.WithMinCreateRev(f.minCreate), clientv3.WithMaxCreateRev(f.maxCreate),
		clientv3.WithMinModRev(f.minMod), clientv3.WithMaxModRev(f.maxMod))
	if f.keysOnly {
		opts = append(opts, clientv3.WithKeysOnly())
	}
	if f.countOnly {
		opts = append(opts, clientv3.WithCountOnly())
	}
	return key, opts, nil
}

// rangeArgs reads "KEY [RANGE_END]" with --prefix and --from-key. An empty key with one of them
// means all keys, which the API writes as the zero byte.
func rangeArgs(command string, args []string, prefix, fromKey bool) (string, []clientv3.OpOption, error) {
	switch {
	case len(args) == 0 || len(args) > 2:
		return "", nil, fmt.Errorf("%s needs a key, and may take an end of range", command)
	case prefix && fromKey:
		return "", nil, errors.New("--prefix and --from-key exclude each other")
	case len(args) == 2 && (prefix || fromKey):
		return "", nil, errors.New("--prefix and --from-key take one key and no end of range")
	}
	key := args[0]
	var opts []clientv3.OpOption
	switch {
	case len(args) == 2:
		opts = append(opts, clientv3.WithRange(args[1]))
	case prefix && key == "", fromKey && key == "":
		key = "\x00"
		opts = append(opts, clientv3.WithFromKey())
	case prefix:
		opts = append(opts, clientv3.WithPrefix())
	case fromKey:
		opts = append(opts, clientv3.WithFromKey())
	}
	return key, opts, nil
}

func sortOf(by, order string) (clientv3.SortTarget, clientv3.SortOrder, error) {
	targets := map[string]clientv3.SortTarget{
		"": clientv3.SortByKey, "KEY": clientv3.SortByKey, "CREATE": clientv3.SortByCreateRevision,
		"MODIFY": clientv3.SortByModRevision, "VALUE": clientv3.SortByValue, "VERSION": clientv3.SortByVersion,
	}
	orders := map[string]clientv3.SortOrder{
		"": clientv3.SortAscend, "ASCEND": clientv3.SortAscend, "DESCEND": clientv3.SortDescend,
	}
	target, ok := targets[strings.ToUpper(by)]
	if !ok {
		return 0, 0, fmt.Errorf("--sort-by is CREATE, KEY, MODIFY, VALUE or VERSION, not %q", by)
	}
	dir, ok := orders[strings.ToUpper(order)]
	if !ok {
		return 0, 0, fmt.Errorf("--order is ASCEND or DESCEND, not %q", order)
	}
	return target, dir, nil
}

func getCommand(a *command.App) *cobra.Command {
	var f getFlags
	c := &cobra.Command{
		Use:   "get KEY [RANGE_END]",
		Short: "Read a key or a range of keys",
		Example: "  fairlead get orders/17\n  fairlead get orders/ --prefix --keys-only --limit 20\n  fairlead get " +
			"orders/17 --rev 4711",
		RunE: func(cmd *cobra.Command, args []string) error {
			op, err := f.op(args)
			if err != nil {
				return command.Usage(err)
			}
			if f.valueOnly && a.Out.Format != command.FormatPlain {
				return command.Usage(errors.New("--print-value-only is for the plain format"))
			}
			if f.stream {
				return getStream(cmd.Context(), a, args, &f)
			}
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.Do(ctx, op)
				if err != nil {
					return err
				}
				return printGet(a.Printer(), resp.Get(), &f)
			})
		},
	}
	f.register(c.Flags())
	c.Flags().BoolVar(&f.stream, "stream", false, "print keys as they are read, for ranges too big for one answer")
	return c
}

func printGet(p *command.Printer, resp *clientv3.GetResponse, f *getFlags) error {
	return p.Print(resp, func() { printGetPlain(p, resp, f) }, func() ([]string, [][]string) {
		if f.countOnly {
			return []string{"COUNT"}, [][]string{{fmt.Sprint(resp.Count)}}
		}
		return p.KeyValueTable(resp.Kvs)
	})
}

func printGetPlain(p *command.Printer, resp *clientv3.GetResponse, f *getFlags) {
	if f.countOnly {
		fmt.Fprintln(p, resp.Count)
	}
	for _, kv := range resp.Kvs {
		if f.valueOnly {
			p.Line(kv.Value)
			continue
		}
		p.KeyValue(kv) // with --keys-only the value's line is empty, as in etcdctl's output
	}
}
