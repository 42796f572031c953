package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
)

type endpointHash struct {
	Endpoint string
	HashKV   *clientv3.HashKVResponse
	err      error
}

type hashList []endpointHash

func (all hashList) fields(p *printer) {
	for _, h := range all {
		p.headerFields(h.HashKV.Header)
		p.field("Endpoint", quoted(h.Endpoint))
		p.field("Hash", h.HashKV.Hash)
		p.field("HashRevision", h.HashKV.HashRevision)
		fmt.Fprintln(p)
	}
}

func (a *app) endpointHashKVCommand(f *endpointFlags) *cobra.Command {
	var rev int64
	c := &cobra.Command{
		Use:     "hashkv",
		Short:   "Hash the keys of each endpoint, to compare them",
		Example: "  fairlead endpoint hashkv --cluster",
		Long:    "Hash the keys with their history of each endpoint. Members that agree have the same hash at the same revision.",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			endpoints, err := a.endpointsToAsk(cmd.Context(), f)
			if err != nil {
				return err
			}
			defer a.wait("hashing").stop()
			all := eachEndpoint(cmd.Context(), a, endpoints,
				func(ctx context.Context, c *clientv3.Client, ep string) endpointHash {
					resp, err := c.HashKV(ctx, ep, rev)
					return endpointHash{ep, resp, a.oneEndpoint(ep).explain(ctx, c, err)}
				},
				func(ep string, err error) endpointHash { return endpointHash{Endpoint: ep, err: err} })
			return a.reportHashes(all)
		},
	}
	c.Flags().Int64Var(&rev, "rev", 0, "up to this revision (0: the latest of each)")
	return c
}

func (a *app) reportHashes(all []endpointHash) error {
	var good hashList
	var failures []endpointFailure
	for _, h := range all {
		if h.err != nil {
			failures = append(failures, endpointFailure{h.Endpoint, h.err})
			continue
		}
		good = append(good, h)
	}
	p := a.printer()
	row := func(h endpointHash) []string {
		return []string{h.Endpoint, fmt.Sprint(h.HashKV.Hash), fmt.Sprint(h.HashKV.HashRevision)}
	}
	return a.reportEach("get the hash of", len(all), failures, func() error {
		return p.print(view{good, good}, func() {
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
