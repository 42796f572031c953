package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

type endpointHealth struct {
	Endpoint string `json:"endpoint"`
	Health   bool   `json:"health"`
	Took     string `json:"took"`
	Error    string `json:"error,omitempty"`
	cause    error
}

func endpointHealthCommand(a *command.App, f *endpointFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "health",
		Short:   "Check that each endpoint serves a linearizable read",
		Example: "  fairlead endpoint health --cluster",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			endpoints, err := endpointsToAsk(cmd.Context(), a, f)
			if err != nil {
				return err
			}
			start := time.Now()
			all := eachEndpoint(
				cmd.Context(),
				a,
				endpoints,
				func(ctx context.Context, c *clientv3.Client, ep string) endpointHealth {
					return checkHealth(ctx, a, c, ep)
				},
				func(ep string, err error) endpointHealth {
					return sick(ep, start, err)
				},
			)
			return reportHealth(a, all)
		},
	}
}

func checkHealth(ctx context.Context, a *command.App, c *clientv3.Client, ep string) endpointHealth {
	start := time.Now()
	// The key need not exist, and the user need not be permitted to read it: a refusal went through
	// consensus too.
	_, err := c.Get(ctx, "health")
	if err != nil && !errors.Is(err, rpctypes.ErrPermissionDenied) {
		return sick(ep, start, oneEndpoint(a, ep).Explain(ctx, c, err))
	}
	h := endpointHealth{Endpoint: ep, Health: true, Took: time.Since(start).String()}
	alarms, err := c.AlarmList(ctx)
	switch {
	case errors.Is(err, rpctypes.ErrPermissionDenied): // only root may list alarms
	case err != nil:
		return sick(ep, start, fmt.Errorf("cannot list the alarms: %w", err))
	case len(alarms.Alarms) > 0:
		var names []string
		for _, al := range alarms.Alarms {
			names = append(names, al.Alarm.String())
		}
		return sick(ep, start, errors.New("active alarms: "+strings.Join(names, ", ")))
	}
	return h
}

func sick(ep string, start time.Time, err error) endpointHealth {
	return endpointHealth{Endpoint: ep, Took: time.Since(start).String(), Error: err.Error(), cause: err}
}

func reportHealth(a *command.App, all []endpointHealth) error {
	p := a.Printer()
	bad := 0
	var unreachable error
	for _, h := range all {
		if !h.Health {
			bad++
			unreachable = h.cause
		}
	}
	err := p.Print(command.View{Message: healthList(all), JSON: all}, func() {
		for _, h := range all {
			if h.Health {
				fmt.Fprintf(p, "%s is healthy: successfully committed proposal: took = %s\n", h.Endpoint, h.Took)
				continue
			}
			fmt.Fprintf(p, "%s is unhealthy: failed to commit proposal: %s\n", h.Endpoint, h.Error)
		}
	}, func() ([]string, [][]string) {
		var rows [][]string
		for _, h := range all {
			rows = append(rows, []string{h.Endpoint, fmt.Sprint(h.Health), h.Took, command.Visible(h.Error)})
		}
		return []string{"ENDPOINT", "HEALTH", "TOOK", "ERROR"}, rows
	})
	switch {
	case err != nil:
		return err
	case bad == 0:
		return nil
	case bad == len(all) && command.IsUnreachable(unreachable):
		return command.UnreachableError{Cause: errors.New("unhealthy cluster")}
	}
	return command.Reported(fmt.Sprintf("unhealthy cluster: %d of %d endpoints", bad, len(all)))
}
