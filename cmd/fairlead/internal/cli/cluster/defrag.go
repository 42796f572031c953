package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

type defragmented struct {
	Endpoint string `json:"endpoint"`
	Took     string `json:"took"`
}

func defragCommand(a *command.App) *cobra.Command {
	var f endpointFlags
	c := &cobra.Command{
		Use:     "defrag",
		Short:   "Return unused space of the members' databases to their disks",
		Example: "  fairlead defrag --cluster",
		Long: `Return unused space of the members' databases to their disks, one member after the other, since a
member answers nothing else meanwhile. With --cluster the leader comes last. --command-timeout
applies to each member.`,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			endpoints, err := endpointsToAsk(cmd.Context(), a, &f)
			if err != nil {
				return err
			}
			if f.cluster {
				endpoints = leaderLast(cmd.Context(), a, endpoints)
			}
			return defragment(cmd.Context(), a, endpoints)
		},
	}
	f.register(c.Flags())
	return c
}

// leaderLast moves the leader's endpoints to the end, so that clients wait no longer than needed
// for a busy leader, and an election that follows disturbs no other member's turn. Endpoints that
// do not answer keep their place: their turn reports the error.
func leaderLast(ctx context.Context, a *command.App, endpoints []string) []string {
	leads := eachEndpoint(ctx, a, endpoints, func(ctx context.Context, c *clientv3.Client, ep string) bool {
		st, err := c.Status(ctx, ep)
		return err == nil && st.Leader != 0 && st.Leader == st.Header.MemberId
	}, func(string, error) bool { return false })
	var others, leader []string
	for i, ep := range endpoints {
		if leads[i] {
			leader = append(leader, ep)
			continue
		}
		others = append(others, ep)
	}
	return append(others, leader...)
}

func defragment(ctx context.Context, a *command.App, endpoints []string) error {
	var failures []endpointFailure
	var good []defragmented
	for _, ep := range endpoints {
		start := time.Now()
		bar := a.Wait("defragmenting " + ep)
		err := oneEndpoint(a, ep).Call(ctx, func(ctx context.Context, c *clientv3.Client) error {
			_, err := c.Defragment(ctx, ep)
			return err
		})
		bar.Stop()
		if err != nil {
			failures = append(failures, endpointFailure{ep, err})
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			continue
		}
		d := defragmented{ep, time.Since(start).String()}
		good = append(good, d)
		if a.Out.Format == command.FormatPlain { // each as soon as it is done
			_, err := fmt.Fprintf(a.Env.Stdout, "Finished defragmenting etcd member[%s]. took %s\n", d.Endpoint, d.Took)
			if err != nil {
				return err
			}
		}
	}
	p := a.Printer()
	return reportEach(a, "defragment", len(endpoints), failures, func() error {
		return p.Print(good, func() {}, func() ([]string, [][]string) {
			var rows [][]string
			for _, d := range good {
				rows = append(rows, []string{d.Endpoint, d.Took})
			}
			return []string{"ENDPOINT", "TOOK"}, rows
		})
	})
}
