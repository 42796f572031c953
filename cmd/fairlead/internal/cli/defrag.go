package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
)

type defragmented struct {
	Endpoint string `json:"endpoint"`
	Took     string `json:"took"`
}

func (a *app) defragCommand() *cobra.Command {
	var f endpointFlags
	c := &cobra.Command{
		Use:     "defrag",
		Short:   "Return unused space of the members' databases to their disks",
		Example: "  fairlead defrag --cluster",
		Long: `Return unused space of the members' databases to their disks, one member after the other: a member answers nothing
else meanwhile. With --cluster the leader is the last one. --command-timeout is for each member.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			endpoints, err := a.endpointsToAsk(cmd.Context(), &f)
			if err != nil {
				return err
			}
			if f.cluster {
				endpoints = a.leaderLast(cmd.Context(), endpoints)
			}
			return a.defragment(cmd.Context(), endpoints)
		},
	}
	f.register(c.Flags())
	return c
}

// leaderLast moves the leader's endpoints to the end, so that nobody waits for a leader who is busy
// longer than needed, and an election that comes of it disturbs no other member's turn. Endpoints
// that do not answer stay where they are: their turn tells.
func (a *app) leaderLast(ctx context.Context, endpoints []string) []string {
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

func (a *app) defragment(ctx context.Context, endpoints []string) error {
	var failures []endpointFailure
	var good []defragmented
	for _, ep := range endpoints {
		start := time.Now()
		bar := a.wait("defragmenting " + ep)
		err := a.oneEndpoint(ep).call(ctx, func(ctx context.Context, c *clientv3.Client) error {
			_, err := c.Defragment(ctx, ep)
			return err
		})
		bar.stop()
		if err != nil {
			failures = append(failures, endpointFailure{ep, err})
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			continue
		}
		d := defragmented{ep, time.Since(start).String()}
		good = append(good, d)
		if a.out.format == formatPlain { // each when it is done, not all at the end
			if _, err := fmt.Fprintf(a.env.Stdout, "Finished defragmenting etcd member[%s]. took %s\n", d.Endpoint, d.Took); err != nil {
				return err
			}
		}
	}
	p := a.printer()
	return a.reportEach("defragment", len(endpoints), failures, func() error {
		return p.print(good, func() {}, func() ([]string, [][]string) {
			var rows [][]string
			for _, d := range good {
				rows = append(rows, []string{d.Endpoint, d.Took})
			}
			return []string{"ENDPOINT", "TOOK"}, rows
		})
	})
}
