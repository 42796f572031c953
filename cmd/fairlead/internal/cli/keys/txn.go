package keys

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func txnCommand(a *command.App) *cobra.Command {
	var interactive bool
	c := &cobra.Command{
		Use:     "txn",
		Short:   "Run a transaction read from standard input",
		Example: "  printf 'mod(\"orders/17\") > \"0\"\\n\\nput orders/17 paid\\n\\n\\n' | fairlead txn",
		Long: `Run a transaction read from standard input: comparisons, an empty line, the requests if all hold, an
empty line, the requests otherwise.

  value("stock/1") = "9"

  put stock/1 8

  get stock/1

Comparisons are of value, version, create, mod or lease with =, !=, < or >. Requests are get, put and
del with their flags.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := readTxn(cmd.Context(), a, interactive)
			if err != nil {
				return command.Usage(err)
			}
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.Txn(ctx).
					If(text.compares...).
					Then(ops(text.success)...).
					Else(ops(text.failure)...).
					Commit()
				if err != nil {
					return err
				}
				return printTxn(a.Printer(), resp, text)
			})
		},
	}
	c.Flags().BoolVarP(&interactive, "interactive", "i", false, "say which part is expected next")
	return c
}

func readTxn(ctx context.Context, a *command.App, interactive bool) (*txnText, error) {
	in := bufio.NewReader(a.Stdin(ctx))
	r := &lineReader{next: func() (string, error) {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) && line != "" {
			err = nil // the last line has no line end
		}
		return line, err
	}}
	prompt := func(s string) {
		if interactive {
			fmt.Fprintln(a.Env.Stdout, s)
		}
	}
	t := &txnText{}
	requests := func(to *[]txnRequest) func(string) error {
		return func(line string) error {
			req, err := parseRequest(line)
			*to = append(*to, req)
			return err
		}
	}
	prompt("compares:")
	err := r.part(func(line string) error {
		cmp, err := parseCompare(line)
		t.compares = append(t.compares, cmp)
		return err
	})
	if err != nil {
		return nil, err
	}
	prompt("success requests (get, put, del):")
	if err := r.part(requests(&t.success)); err != nil {
		return nil, err
	}
	prompt("failure requests (get, put, del):")
	return t, r.part(requests(&t.failure))
}

func ops(requests []txnRequest) []clientv3.Op {
	var all []clientv3.Op
	for _, r := range requests {
		all = append(all, r.op)
	}
	return all
}

func printTxn(p *command.Printer, resp *clientv3.TxnResponse, text *txnText) error {
	requests := text.success
	result := "SUCCESS"
	if !resp.Succeeded {
		requests, result = text.failure, "FAILURE"
	}
	return p.Print(command.View{Message: resp, JSON: txnJSON(resp)}, func() {
		fmt.Fprintln(p, result)
		for i, r := range resp.Responses {
			fmt.Fprintln(p)
			printTxnAnswer(p, r, &requests[i].get)
		}
	}, func() ([]string, [][]string) {
		rows := [][]string{{result, "", "", ""}}
		for i, r := range resp.Responses {
			rows = append(rows, printTxnRows(p, fmt.Sprint(i+1), r)...)
		}
		return []string{"REQUEST", "RESULT", "KEY", "VALUE"}, rows
	})
}

// txnJSON keeps etcdctl's names of the answers: the names of the protocol, not of the generated Go
// code.
func txnJSON(resp *clientv3.TxnResponse) any {
	type answer struct {
		Response map[string]any
	}
	v := struct {
		Header    *pb.ResponseHeader `json:"header,omitempty"`
		Succeeded bool               `json:"succeeded,omitempty"`
		Responses []answer           `json:"responses,omitempty"`
	}{Header: resp.Header, Succeeded: resp.Succeeded}
	for _, r := range resp.Responses {
		var a answer
		switch r := r.Response.(type) {
		case *pb.ResponseOp_ResponseRange:
			a.Response = map[string]any{"response_range": r.ResponseRange}
		case *pb.ResponseOp_ResponsePut:
			a.Response = map[string]any{"response_put": r.ResponsePut}
		case *pb.ResponseOp_ResponseDeleteRange:
			a.Response = map[string]any{"response_delete_range": r.ResponseDeleteRange}
		}
		v.Responses = append(v.Responses, a)
	}
	return v
}

func printTxnAnswer(p *command.Printer, r *pb.ResponseOp, get *getFlags) {
	switch r := r.Response.(type) {
	case *pb.ResponseOp_ResponseRange:
		printGetPlain(p, (*clientv3.GetResponse)(r.ResponseRange), get)
	case *pb.ResponseOp_ResponsePut:
		printPutPlain(p, (*clientv3.PutResponse)(r.ResponsePut))
	case *pb.ResponseOp_ResponseDeleteRange:
		printDelPlain(p, (*clientv3.DeleteResponse)(r.ResponseDeleteRange))
	}
}

func printTxnRows(p *command.Printer, n string, r *pb.ResponseOp) [][]string {
	switch r := r.Response.(type) {
	case *pb.ResponseOp_ResponseRange:
		rows := [][]string{{n, fmt.Sprintf("%d found", r.ResponseRange.Count), "", ""}}
		for _, kv := range r.ResponseRange.Kvs {
			rows = append(rows, []string{"", "", p.Cell(kv.Key), p.Cell(kv.Value)})
		}
		return rows
	case *pb.ResponseOp_ResponseDeleteRange:
		return [][]string{{n, fmt.Sprintf("%d deleted", r.ResponseDeleteRange.Deleted), "", ""}}
	}
	return [][]string{{n, "OK", "", ""}}
}
