package cluster

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func alarmListCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the active alarms",
		Example: "  fairlead alarm list",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.AlarmList(ctx)
				if err != nil {
					return err
				}
				return printAlarms(a.Printer(), resp)
			})
		},
	}
}

func alarmDisarmCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:     "disarm",
		Short:   "Disarm all alarms",
		Example: "  fairlead alarm disarm",
		Long:    "Disarm all alarms and print them. An alarm whose cause lasts comes back.",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.Call(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				resp, err := c.AlarmDisarm(ctx, &clientv3.AlarmMember{})
				if err != nil {
					return err
				}
				return printAlarms(a.Printer(), resp)
			})
		},
	}
}

func printAlarms(p *command.Printer, resp *clientv3.AlarmResponse) error {
	return p.Print(resp, func() {
		for _, al := range resp.Alarms {
			fmt.Fprintf(p, "memberID:%d alarm:%v\n", al.MemberID, al.Alarm)
		}
	}, func() ([]string, [][]string) {
		var rows [][]string
		for _, al := range resp.Alarms {
			rows = append(rows, []string{command.IdText(al.MemberID), al.Alarm.String()})
		}
		return []string{"MEMBER", "ALARM"}, rows
	})
}
