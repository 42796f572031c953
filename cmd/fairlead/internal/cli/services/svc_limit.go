package services

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/discovery"
)

func svcLimitCommand(a *command.App) *cobra.Command {
	var l discovery.Limits
	var remove bool
	short := "Limit what clients of xDS do to a service"
	c := &cobra.Command{
		Use:   "limit SERVICE",
		Short: short,
		Long: short + `: circuit breaking and outlier detection. A limit whose flag is missing is lifted; without any
flags the command shows the limits. They last until they are changed again.`,
		Example: "  fairlead svc limit orders --requests 200 --failures 50\n  fairlead svc limit orders\n  fairlead " +
			"svc limit orders --remove",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || remove && l != (discovery.Limits{}) {
				return command.Usage(
					fmt.Errorf("%s needs a service, and may take limits or --remove", cmd.CommandPath()),
				)
			}
			if err := l.Validate(); err != nil {
				return command.Usage(err)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if l == (discovery.Limits{}) && !remove {
				return showLimits(cmd.Context(), a, args[0])
			}
			return changeControl(cmd.Context(), a, args[0], func(ctl *discovery.Control) { ctl.Limits = l })
		},
	}
	fs := c.Flags()
	fs.BoolVar(&remove, "remove", false, "limit nothing any more")
	fs.IntVar(&l.Requests, "requests", 0, "how many calls a client may have under way at once; calls beyond that fail")
	fs.IntVar(&l.Failures, "failures", 0, "percentage of failed calls above which an instance is ejected, up to 99")
	fs.IntVar(
		&l.Calls,
		"calls",
		0,
		fmt.Sprintf(
			"how many calls within 10 s it takes to judge an instance, %d if not given",
			discovery.DefaultJudgedCalls,
		),
	)
	fs.IntVar(
		&l.Seconds,
		"seconds",
		0,
		fmt.Sprintf("how long an instance is ejected at first, %.0f if not given", discovery.DefaultEjected.Seconds()),
	)
	return c
}

func showLimits(ctx context.Context, a *command.App, service string) error {
	return a.Call(ctx, func(ctx context.Context, c *clientv3.Client) error {
		control, err := discovery.ReadControl(ctx, c, service)
		if err != nil {
			return err
		}
		l := control.Limits
		p := a.Printer()
		return p.Print(l, func() {
			if l != (discovery.Limits{}) {
				fmt.Fprintf(
					p,
					"requests=%d failures=%d calls=%d seconds=%d\n",
					l.Requests,
					l.Failures,
					l.Calls,
					l.Seconds,
				)
			}
		}, func() ([]string, [][]string) {
			return []string{"REQUESTS", "FAILURES", "CALLS", "SECONDS"},
				[][]string{{fmt.Sprint(l.Requests), fmt.Sprint(l.Failures), fmt.Sprint(l.Calls), fmt.Sprint(l.Seconds)}}
		})
	})
}
