package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
)

func (a *app) alarmListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the active alarms",
		Example: "  fairlead alarm list",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.AlarmList(ctx)
				if err != nil {
					return err
				}
				return a.printer().alarms(resp)
			})
		},
	}
}

func (a *app) alarmDisarmCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "disarm",
		Short:   "Disarm all alarms",
		Example: "  fairlead alarm disarm",
		Long:    "Disarm all alarms and print them. An alarm whose cause lasts comes back.",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.AlarmDisarm(ctx, &clientv3.AlarmMember{})
				if err != nil {
					return err
				}
				return a.printer().alarms(resp)
			})
		},
	}
}

func (p *printer) alarms(resp *clientv3.AlarmResponse) error {
	return p.print(resp, func() {
		for _, al := range resp.Alarms {
			fmt.Fprintf(p, "memberID:%d alarm:%v\n", al.MemberID, al.Alarm)
		}
	}, func() ([]string, [][]string) {
		var rows [][]string
		for _, al := range resp.Alarms {
			rows = append(rows, []string{idText(al.MemberID), al.Alarm.String()})
		}
		return []string{"MEMBER", "ALARM"}, rows
	})
}
