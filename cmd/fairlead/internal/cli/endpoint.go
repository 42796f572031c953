package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead-go/fairlead/clientv3"
)

// What the endpoint commands share: they ask each endpoint by itself, all at once, each with a
// client that knows no other, so that one dead endpoint neither hides behind another nor delays it.

type endpointFlags struct{ cluster bool }

func (f *endpointFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.cluster, "cluster", false, "ask all members, as the cluster lists them, and not only the given endpoints")
}

// endpointCommand is the family; its flag is also accepted before the sub-command.
func (a *app) endpointCommand() *cobra.Command {
	var f endpointFlags
	c := a.family("endpoint", "Ask each endpoint",
		a.endpointStatusCommand(&f), a.endpointHealthCommand(&f), a.endpointHashKVCommand(&f))
	f.register(c.PersistentFlags())
	return c
}

func (a *app) endpointsToAsk(ctx context.Context, f *endpointFlags) ([]string, error) {
	if err := a.needsNoMessage(); err != nil {
		return nil, err
	}
	if !f.cluster {
		return a.endpoints(ctx)
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
	one.conn.discoverySRV = ""
	return one
}

// endpointFailure is an endpoint that did not do what was asked.
type endpointFailure struct {
	endpoint string
	err      error
}

// reportEach says which of all endpoints failed to do something, prints what the others gave, and
// fails if one did.
func (a *app) reportEach(what string, all int, failures []endpointFailure, show func() error) error {
	for _, f := range failures {
		fmt.Fprintf(a.env.Stderr, "Failed to %s endpoint %s (%v)\n", what, f.endpoint, f.err)
	}
	if n := len(failures); n == all && n > 0 {
		if isUnreachable(failures[n-1].err) {
			return unreachableError{cause: errors.New("no endpoint answered")}
		}
		return reportedError{fmt.Sprintf("%d of %d endpoints failed", n, all)}
	}
	if err := show(); err != nil {
		return err
	}
	if len(failures) > 0 {
		return reportedError{fmt.Sprintf("%d of %d endpoints failed", len(failures), all)}
	}
	return nil
}
