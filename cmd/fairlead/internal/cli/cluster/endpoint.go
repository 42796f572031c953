package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// The endpoint commands ask each endpoint by itself, all at once, each with a client that knows no
// other endpoint. So a dead endpoint neither hides behind another nor delays it.

type endpointFlags struct{ cluster bool }

func (f *endpointFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(
		&f.cluster,
		"cluster",
		false,
		"ask all members that the cluster lists, not only the given endpoints",
	)
}

// endpointCommand returns the family; its flag is also accepted before the sub-command.
func endpointCommand(a *command.App) *cobra.Command {
	var f endpointFlags
	c := a.Family("endpoint", "Ask each endpoint",
		endpointStatusCommand(a, &f), endpointHealthCommand(a, &f), endpointHashKVCommand(a, &f))
	f.register(c.PersistentFlags())
	return c
}

func endpointsToAsk(ctx context.Context, a *command.App, f *endpointFlags) ([]string, error) {
	if err := a.NeedsNoMessage(); err != nil {
		return nil, err
	}
	if !f.cluster {
		return a.Endpoints(ctx)
	}
	var all []string
	err := a.Call(ctx, func(ctx context.Context, c *clientv3.Client) error {
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
func eachEndpoint[T any](
	ctx context.Context,
	a *command.App,
	endpoints []string,
	ask func(context.Context, *clientv3.Client, string) T,
	failed func(string, error) T,
) []T {
	answers := make([]T, len(endpoints))
	var wg sync.WaitGroup
	for i, ep := range endpoints {
		wg.Go(func() {
			err := oneEndpoint(a, ep).Call(ctx, func(ctx context.Context, c *clientv3.Client) error {
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

// oneEndpoint returns the same run with one endpoint only.
func oneEndpoint(a *command.App, ep string) *command.App {
	one := &command.App{Env: a.Env, Conn: a.Conn, Out: a.Out}
	one.Conn.Endpoints = []string{ep}
	one.Conn.DiscoverySRV = ""
	return one
}

// endpointFailure is an endpoint at which the request failed.
type endpointFailure struct {
	endpoint string
	err      error
}

// reportEach reports which endpoints failed, prints the answers of the others, and fails if an
// endpoint failed.
func reportEach(a *command.App, what string, all int, failures []endpointFailure, show func() error) error {
	for _, f := range failures {
		fmt.Fprintf(a.Env.Stderr, "Failed to %s endpoint %s (%v)\n", what, f.endpoint, f.err)
	}
	if n := len(failures); n == all && n > 0 {
		if command.IsUnreachable(failures[n-1].err) {
			return command.UnreachableError{Cause: errors.New("no endpoint answered")}
		}
		return command.Reported(fmt.Sprintf("%d of %d endpoints failed", n, all))
	}
	if err := show(); err != nil {
		return err
	}
	if len(failures) > 0 {
		return command.Reported(fmt.Sprintf("%d of %d endpoints failed", len(failures), all))
	}
	return nil
}
