package cluster

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

type endpointHash struct {
	Endpoint string
	HashKV   *clientv3.HashKVResponse
	err      error
}

type hashList []endpointHash

// Fields writes the answers with the names of etcdctl and etcdutl.
func (all hashList) Fields(p *command.Printer) {
	for _, h := range all {
		p.HeaderFields(h.HashKV.Header)
		p.Field("Endpoint", command.Quoted(h.Endpoint))
		p.Field("Hash", h.HashKV.Hash)
		p.Field("HashRevision", h.HashKV.HashRevision)
		fmt.Fprintln(p)
	}
}

func endpointHashKVCommand(a *command.App, f *endpointFlags) *cobra.Command {
	var rev int64
	c := &cobra.Command{
		Use:     "hashkv",
		Short:   "Hash the keys of each endpoint, to compare them",
		Example: "  fairlead endpoint hashkv --cluster",
		Long: "Hash the keys of each endpoint, with their history. Members that agree have the same hash at the\n" +
			"same revision.",
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			endpoints, err := endpointsToAsk(cmd.Context(), a, f)
			if err != nil {
				return err
			}
			defer a.Wait("hashing").Stop()
			all := eachEndpoint(cmd.Context(), a, endpoints,
				func(ctx context.Context, c *clientv3.Client, ep string) endpointHash {
					resp, err := c.HashKV(ctx, ep, rev)
					return endpointHash{ep, resp, oneEndpoint(a, ep).Explain(ctx, c, err)}
				},
				func(ep string, err error) endpointHash { return endpointHash{Endpoint: ep, err: err} })
			return reportHashes(a, all)
		},
	}
	c.Flags().Int64Var(&rev, "rev", 0, "up to this revision (0: the latest of each)")
	return c
}

func reportHashes(a *command.App, all []endpointHash) error {
	var good hashList
	var failures []endpointFailure
	for _, h := range all {
		if h.err != nil {
			failures = append(failures, endpointFailure{h.Endpoint, h.err})
			continue
		}
		good = append(good, h)
	}
	p := a.Printer()
	row := func(h endpointHash) []string {
		return []string{h.Endpoint, fmt.Sprint(h.HashKV.Hash), fmt.Sprint(h.HashKV.HashRevision)}
	}
	return reportEach(a, "get the hash of", len(all), failures, func() error {
		return p.Print(command.View{Message: good, JSON: good}, func() {
			for _, h := range good {
				r := row(h)
				fmt.Fprintf(p, "%s, %s, %s\n", r[0], r[1], r[2])
			}
		}, func() ([]string, [][]string) {
			var rows [][]string
			for _, h := range good {
				rows = append(rows, row(h))
			}
			return []string{"ENDPOINT", "HASH", "HASH REVISION"}, rows
		})
	})
}
