package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// putFlags are the flags of put, also inside a transaction.
type putFlags struct {
	lease                            string
	prevKV, ignoreValue, ignoreLease bool
}

func (f *putFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.lease, "lease", "0", "lease to attach, in hexadecimal")
	fs.BoolVar(&f.prevKV, "prev-kv", false, "also print the pair as it was before")
	fs.BoolVar(&f.ignoreValue, "ignore-value", false, "keep the value, change the lease only")
	fs.BoolVar(&f.ignoreLease, "ignore-lease", false, "keep the lease, change the value only")
}

// op reads "KEY VALUE"; with one argument the value comes from value.
func (f *putFlags) op(args []string, value func() (string, error)) (clientv3.Op, error) {
	var none clientv3.Op
	switch {
	case len(args) == 0 || len(args) > 2:
		return none, errors.New("put needs a key and a value (the value may come from standard input)")
	case f.ignoreValue && len(args) == 2:
		return none, errors.New("with --ignore-value put takes a key only")
	}
	var opts []clientv3.OpOption
	id, err := parseLease(f.lease)
	if err != nil {
		return none, err
	}
	if id != 0 {
		if f.ignoreLease {
			return none, errors.New("--lease and --ignore-lease exclude each other")
		}
		opts = append(opts, clientv3.WithLease(id))
	}
	if f.prevKV {
		opts = append(opts, clientv3.WithPrevKV())
	}
	if f.ignoreLease {
		opts = append(opts, clientv3.WithIgnoreLease())
	}
	var text string
	switch {
	case f.ignoreValue:
		opts = append(opts, clientv3.WithIgnoreValue())
	case len(args) == 2:
		text = args[1]
	default:
		if text, err = value(); err != nil {
			return none, err
		}
	}
	return clientv3.OpPut(args[0], text, opts...), nil
}

func parseLease(s string) (clientv3.LeaseID, error) {
	id, err := strconv.ParseInt(s, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no lease: an id in hexadecimal is expected", s)
	}
	return clientv3.LeaseID(id), nil
}

func putCommand(a *command.App) *cobra.Command {
	var f putFlags
	c := &cobra.Command{
		Use:   "put KEY [VALUE]",
		Short: "Write a key",
		Example: "  fairlead put orders/17 paid\n  fairlead put config/limits < limits.json\n  fairlead put " +
			"orders/17 " +
			"paid --lease 694d81417acd4707 --prev-kv",
		Long: "Write a key. Without VALUE the value is all of standard input.\n" +
			"Write -- before a value that begins with -, like: put -- KEY -1",
		RunE: func(cmd *cobra.Command, args []string) error {
			op, err := f.op(args, func() (string, error) {
				text, err := io.ReadAll(a.Stdin(cmd.Context()))
				return string(text), err
			})
			if err != nil {
				return command.Usage(err)
			}
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.Do(ctx, op)
				if err != nil {
					return err
				}
				return printPut(a.Printer(), resp.Put())
			})
		},
	}
	f.register(c.Flags())
	return c
}

func printPut(p *command.Printer, resp *clientv3.PutResponse) error {
	return p.Print(resp, func() { printPutPlain(p, resp) }, func() ([]string, [][]string) {
		prev := ""
		if resp.PrevKv != nil {
			prev = p.Cell(resp.PrevKv.Value)
		}
		return []string{"REVISION", "VALUE BEFORE"}, [][]string{{fmt.Sprint(resp.Header.Revision), prev}}
	})
}

func printPutPlain(p *command.Printer, resp *clientv3.PutResponse) {
	fmt.Fprintln(p, "OK")
	if resp.PrevKv != nil {
		p.KeyValue(resp.PrevKv)
	}
}
