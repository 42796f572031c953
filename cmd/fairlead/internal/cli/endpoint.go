package cli

import (
	"context"
	"sync"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
)

// What the endpoint commands share: they ask each endpoint by itself, all at once, each with a client that knows no other, so that one
// dead endpoint neither hides behind another nor delays it.

type endpointFlags struct{ cluster bool }

func (f *endpointFlags) register(c *cobra.Command) {
	c.Flags().BoolVar(&f.cluster, "cluster", false, "ask all members, as the cluster lists them, and not only the given endpoints")
}

func (a *app) endpointsToAsk(ctx context.Context, f *endpointFlags) ([]string, error) {
	if !f.cluster {
		return a.conn.endpoints, nil
	}
	var all []string
	err := a.call(ctx, func(ctx context.Context, c *clientv3.Client) error {
		resp, err := c.MemberList(ctx)
		if err != nil {
			return err
		}
		for _, m := range resp.Members {
			all = append(all, m.ClientURLs...)
		}
		return nil
	})
	return all, err
}

// eachEndpoint runs ask on every endpoint and returns the answers in the order of the endpoints.
func eachEndpoint[T any](ctx context.Context, a *app, endpoints []string, ask func(context.Context, *clientv3.Client, string) T, failed func(string, error) T) []T {
	answers := make([]T, len(endpoints))
	var wg sync.WaitGroup
	for i, ep := range endpoints {
		wg.Go(func() {
			err := a.oneEndpoint(ep).call(ctx, func(ctx context.Context, c *clientv3.Client) error {
				answers[i] = ask(ctx, c, ep)
				return nil
			})
			if err != nil {
				answers[i] = failed(ep, err)
			}
		})
	}
	wg.Wait()
	return answers
}

// oneEndpoint is the same run with that endpoint only.
func (a *app) oneEndpoint(ep string) *app {
	one := &app{env: a.env, conn: a.conn, out: a.out}
	one.conn.endpoints = []string{ep}
	return one
}
