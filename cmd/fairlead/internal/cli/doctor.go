package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/columns"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/doctor"
)

const doctorHelp = `Looks at a cluster and says in plain words what is wrong and what to do: members that do not answer, addresses that lead
nowhere, a missing quorum, alarms, a full database, version skew, slow members and disks, members that lag, clocks, leases that end together or that
nobody renews, a history that is never compacted.

It only asks and changes nothing. Some of it comes from the members' metrics page, which is at their client address unless
they were told otherwise; without it there is less to say. The exit code is 1 if there is a problem, also if there are warnings with --strict,
and 3 if no endpoint answers.`

// doctorTimeout is for one request: a member that takes longer is part of the diagnosis.
const doctorTimeout = 3 * time.Second

func (a *app) doctorCommand() *cobra.Command {
	var strict bool
	c := &cobra.Command{
		Use:     "doctor",
		Short:   "Look at a cluster and say what is wrong and what to do",
		Example: "  fairlead doctor --strict",
		Long:    doctorHelp,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.stream(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				secured, err := a.conn.secured()
				if err != nil {
					return usageError{err}
				}
				bar := a.wait("asking the members")
				ctx = clientv3.WithFailFast(ctx) // it tells how things are now
				f, err := doctor.Gather(ctx, c, doctor.Options{Timeout: min(doctorTimeout, a.conn.commandTimeout), TLS: secured.TLS})
				bar.stop()
				if err != nil {
					return err
				}
				err = a.printer().diagnosis(doctor.Judge(f), strict)
				var problems reportedError
				if f.Unreachable() && errors.As(err, &problems) {
					return unreachableError{cause: errors.New("no endpoint answers")}
				}
				return err
			})
		},
	}
	c.Flags().BoolVar(&strict, "strict", false, "exit with 1 for warnings too")
	return c
}

func (p *printer) diagnosis(list []doctor.Finding, strict bool) error {
	type finding struct {
		Severity string `json:"severity"`
		What     string `json:"what"`
		Do       string `json:"do,omitempty"`
	}
	found := make([]finding, 0, len(list))
	count := make(map[doctor.Severity]int)
	for _, f := range list {
		found = append(found, finding{f.Severity.String(), f.What, f.Do})
		count[f.Severity]++
	}
	err := p.print(view{nil, found}, func() {
		if len(list) == 0 {
			fmt.Fprintln(p, "Nothing is wrong.")
		}
		for _, f := range found {
			p.paragraph(strings.ToUpper(f.Severity[:1])+f.Severity[1:]+": ", f.What)
			if f.Do != "" {
				p.paragraph("  To do: ", f.Do)
			}
		}
	}, func() ([]string, [][]string) {
		var rows [][]string
		for _, f := range found {
			rows = append(rows, []string{f.Severity, f.What, f.Do})
		}
		return []string{"SEVERITY", "WHAT", "TO DO"}, rows
	})
	if problems := count[doctor.Problem]; err == nil && problems > 0 {
		return reportedError{fmt.Sprintf("problems: %d", problems)}
	}
	if warnings := count[doctor.Warning]; err == nil && strict && warnings > 0 {
		return reportedError{fmt.Sprintf("warnings: %d", warnings)}
	}
	return err
}

// paragraph writes text after a label, broken into lines that fit a terminal; what follows the first
// line is indented by two more than the label's blanks.
func (p *printer) paragraph(label, text string) {
	if p.width == 0 {
		fmt.Fprintln(p, label+text)
		return
	}
	indent := strings.Repeat(" ", 2+len(label)-len(strings.TrimLeft(label, " ")))
	line := label
	empty := true
	for _, word := range strings.Fields(text) {
		if !empty && columns.Width(line)+1+columns.Width(word) > p.width {
			fmt.Fprintln(p, line)
			line, empty = indent, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	fmt.Fprintln(p, line)
}
