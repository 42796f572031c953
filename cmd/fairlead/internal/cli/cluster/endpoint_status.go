package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

type endpointStatus struct {
	Endpoint string
	Status   *clientv3.StatusResponse
	err      error
}

func endpointStatusCommand(a *command.App, f *endpointFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show the state of each endpoint",
		Example: "  fairlead endpoint status --cluster -w table",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			endpoints, err := endpointsToAsk(cmd.Context(), a, f)
			if err != nil {
				return err
			}
			all := eachEndpoint(cmd.Context(), a, endpoints,
				func(ctx context.Context, c *clientv3.Client, ep string) endpointStatus {
					resp, err := c.Status(ctx, ep)
					return endpointStatus{ep, resp, oneEndpoint(a, ep).Explain(ctx, c, err)}
				},
				func(ep string, err error) endpointStatus { return endpointStatus{Endpoint: ep, err: err} })
			return reportStatus(a, all)
		},
	}
}

func reportStatus(a *command.App, all []endpointStatus) error {
	var good []endpointStatus
	var failure error
	for _, s := range all {
		if s.err != nil {
			failure = s.err
			fmt.Fprintf(a.Env.Stderr, "Failed to get the status of endpoint %s (%v)\n", s.Endpoint, s.err)
			continue
		}
		good = append(good, s)
	}
	if len(good) == 0 && command.IsUnreachable(failure) {
		return command.UnreachableError{Cause: errors.New("no endpoint gave its status")}
	}
	if err := printStatus(a.Printer(), good); err != nil {
		return err
	}
	if failure != nil {
		return command.Reported(fmt.Sprintf("%d of %d endpoints gave no status", len(all)-len(good), len(all)))
	}
	return nil
}

func printStatus(p *command.Printer, all []endpointStatus) error {
	return p.Print(command.View{Message: statusList(all), JSON: all}, func() {
		for _, s := range all {
			fmt.Fprintln(p, strings.Join(s.row(), ", "))
		}
	}, func() ([]string, [][]string) {
		var rows [][]string
		for _, s := range all {
			rows = append(rows, s.row())
		}
		return []string{
			"ENDPOINT", "ID", "VERSION", "STORAGE VERSION", "DB SIZE", "IN USE", "PERCENTAGE NOT IN USE", "QUOTA",
			"IS LEADER", "IS LEARNER", "RAFT TERM", "RAFT INDEX", "RAFT APPLIED INDEX", "ERRORS",
			"DOWNGRADE TARGET VERSION", "DOWNGRADE ENABLED",
		}, rows
	})
}

func (s endpointStatus) row() []string {
	r := s.Status
	unused := int64(0)
	if r.DbSize > 0 {
		unused = 100 - r.DbSizeInUse*100/r.DbSize // rounded up, as etcdctl does
	}
	target, enabled := "", false
	if d := r.DowngradeInfo; d != nil {
		target, enabled = d.TargetVersion, d.Enabled
	}
	return []string{
		s.Endpoint, command.IdText(r.Header.MemberId), r.Version, r.StorageVersion,
		command.BytesText(
			r.DbSize,
		), command.BytesText(r.DbSizeInUse), fmt.Sprintf("%d%%", unused), command.BytesText(r.DbSizeQuota),
		fmt.Sprint(r.Leader == r.Header.MemberId), fmt.Sprint(r.IsLearner),
		fmt.Sprint(r.RaftTerm), fmt.Sprint(r.RaftIndex), fmt.Sprint(r.RaftAppliedIndex),
		strings.Join(r.Errors, ", "), target, fmt.Sprint(enabled),
	}
}
