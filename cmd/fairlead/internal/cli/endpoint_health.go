package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
)

type endpointHealth struct {
	Endpoint string `json:"endpoint"`
	Health   bool   `json:"health"`
	Took     string `json:"took"`
	Error    string `json:"error,omitempty"`
	cause    error
}

func (a *app) endpointHealthCommand(f *endpointFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "health",
		Short:   "Check that each endpoint serves a linearizable read",
		Example: "  fairlead endpoint health --cluster",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			endpoints, err := a.endpointsToAsk(cmd.Context(), f)
			if err != nil {
				return err
			}
			start := time.Now()
			all := eachEndpoint(cmd.Context(), a, endpoints, a.checkHealth, func(ep string, err error) endpointHealth {
				return sick(ep, start, err)
			})
			return a.reportHealth(all)
		},
	}
}

func (a *app) checkHealth(ctx context.Context, c *clientv3.Client, ep string) endpointHealth {
	start := time.Now()
	// Whether the key exists or may be read does not matter: a refusal is an answer that went
	// through consensus too.
	_, err := c.Get(ctx, "health")
	if err != nil && !errors.Is(err, rpctypes.ErrPermissionDenied) {
		return sick(ep, start, a.oneEndpoint(ep).explain(ctx, c, err))
	}
	h := endpointHealth{Endpoint: ep, Health: true, Took: time.Since(start).String()}
	alarms, err := c.AlarmList(ctx)
	switch {
	case errors.Is(err, rpctypes.ErrPermissionDenied): // only root may see them
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

func (a *app) reportHealth(all []endpointHealth) error {
	p := a.printer()
	bad := 0
	var unreachable error
	for _, h := range all {
		if !h.Health {
			bad++
			unreachable = h.cause
		}
	}
	err := p.print(view{healthList(all), all}, func() {
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
			rows = append(rows, []string{h.Endpoint, fmt.Sprint(h.Health), h.Took, visible(h.Error)})
		}
		return []string{"ENDPOINT", "HEALTH", "TOOK", "ERROR"}, rows
	})
	switch {
	case err != nil:
		return err
	case bad == 0:
		return nil
	case bad == len(all) && isUnreachable(unreachable):
		return unreachableError{cause: errors.New("unhealthy cluster")}
	}
	return reportedError{fmt.Sprintf("unhealthy cluster: %d of %d endpoints", bad, len(all))}
}
