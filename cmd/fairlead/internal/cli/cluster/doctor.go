package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/columns"
	"github.com/fairlead-go/fairlead/internal/doctor"
)

const doctorHelp = `Examine a cluster and say in plain words what is wrong, what it means and what to do about it, with
the commands to run: members that do not answer, addresses that lead nowhere, a missing quorum,
alarms, a full database, version skew, slow members and disks, members that lag, elections, clocks,
certificates that expire soon, leases that expire together or that nobody renews, a history that is
never compacted. Each cause is reported once. The web console shows the same findings on every page.

The command changes nothing. It also reads the members' metrics, at their client addresses unless
they serve them elsewhere, and says what it could not read. It reads counters twice, --period apart,
to judge the cluster as it is now; with --period 0s it judges by everything since the members
started.

--watch goes on until Ctrl-C: it looks again every --period, and prints a line with the time for
each finding that is new or over. With --json each line is an object whose "event" is begun or over.

The exit code is 0 if there is no problem, 1 if there is one (with --strict also if there is a
warning), 2 for wrong flags, 3 if no endpoint answers, and 130 after Ctrl-C. With --json each
finding has a "rule", which stays the same in later versions.`

const (
	// doctorTimeout is for one request: a member that takes longer is part of the diagnosis.
	doctorTimeout = 3 * time.Second
	// doctorPeriod is long enough for members with some load to count what the rules judge.
	doctorPeriod = 5 * time.Second
	// leastRound is the shortest time between two rounds: shorter ones would be a load for the
	// cluster.
	leastRound = 100 * time.Millisecond
)

type doctorFlags struct {
	strict, json, watch bool
	period              time.Duration
}

func doctorCommand(a *command.App) *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look at a cluster and say what is wrong and what to do",
		Example: "  fairlead doctor --strict\n  fairlead doctor --watch --period 30s\n  fairlead doctor --json " +
			"--period 1m",
		Long: doctorHelp,
		Args: command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.period < 0 || f.watch && f.period < leastRound {
				return command.Usage(
					fmt.Errorf("--period must not be negative, and with --watch be %s at least", leastRound),
				)
			}
			if f.json && (cmd.Flags().Changed("output") || cmd.Flags().Changed("write-out")) {
				return command.Usage(errors.New("--json is --output json: give one of them"))
			}
			if f.json {
				a.Out.Format = command.FormatJSON
			}
			secured, err := a.Conn.Secured()
			if err != nil {
				return command.Usage(err)
			}
			o := doctor.Options{
				Timeout: min(doctorTimeout, a.Conn.CommandTimeout),
				Pages:   true,
				TLS:     secured.TLS,
				Leases:  true,
				Period:  f.period,
			}
			d := diagnosis{a: a, own: ownWords(a, cmd.Flags())}
			return a.Stream(cmd.Context(), func(ctx context.Context, c *clientv3.Client) error {
				ctx = clientv3.WithFailFast(ctx) // a failure is a finding
				if f.watch {
					return d.watch(ctx, c, o)
				}
				bar := a.Wait(fmt.Sprintf("watching the members for %s", f.period))
				facts, err := doctor.Gather(ctx, c, o)
				bar.Stop()
				if err != nil {
					return err
				}
				return d.once(facts, f.strict)
			})
		},
	}
	fs := c.Flags()
	fs.BoolVar(&f.strict, "strict", false, "exit with 1 for warnings too")
	fs.BoolVar(&f.json, "json", false, "the same as --output json")
	fs.BoolVar(&f.watch, "watch", false, "go on, and print what is new and what is over")
	fs.DurationVar(
		&f.period,
		"period",
		doctorPeriod,
		"how long to observe disks and elections; 0s: judge by everything since the members started",
	)
	return c
}

// ownWords returns the words of the command line that select the cluster and the user, without
// secrets.
func ownWords(a *command.App, fs *pflag.FlagSet) (words []string) {
	fs.Visit(func(f *pflag.Flag) {
		value := f.Value.String()
		switch f.Name {
		case "endpoints":
			value = strings.Join(a.Conn.Endpoints, ",")
		case "user":
			value, _, _ = strings.Cut(value, ":")
		case "cacert",
			"cert",
			"key",
			"insecure-skip-tls-verify",
			"insecure-transport",
			"discovery-srv",
			"discovery-srv-name":
		default:
			return
		}
		words = append(words, "--"+f.Name+"="+shellWord(value))
	})
	return words
}

// shellWord quotes a word for a shell if necessary.
func shellWord(s string) string {
	special := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("'\"\\$`!&|;<>()[]{}*?~#", r) }
	if s != "" && !strings.ContainsFunc(s, special) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// diagnosis prints findings.
type diagnosis struct {
	a   *command.App
	own []string // see ownWords
	// referred: the way to learn more was printed already, which a watching doctor does once.
	referred bool
}

type finding struct {
	Rule     string   `json:"rule"`
	Severity string   `json:"severity"`
	Members  []string `json:"members,omitempty"`
	Title    string   `json:"title"`
	What     string   `json:"what"`
	Detail   string   `json:"detail,omitempty"`
	Means    string   `json:"means,omitempty"`
	Do       string   `json:"do,omitempty"`
	Run      []string `json:"run,omitempty"`
}

func (d *diagnosis) findings(list []doctor.Finding) []finding {
	found := make([]finding, 0, len(list))
	for _, f := range list {
		x := finding{f.Rule, f.Severity.String(), f.Members, f.Title, f.What, f.Detail, f.Means, f.Do, nil}
		for _, c := range f.Run {
			x.Run = append(x.Run, d.command(c))
		}
		found = append(found, x)
	}
	return found
}

// command returns a command line for the same cluster.
func (d *diagnosis) command(c string) string {
	words := []string{"fairlead"}
	for _, w := range d.own {
		name, _, _ := strings.Cut(w, "=")
		if !strings.HasPrefix(c, name+" ") &&
			!(strings.HasPrefix(c, "--endpoints ") && strings.HasPrefix(name, "--discovery-srv")) {
			words = append(words, w)
		}
	}
	return strings.Join(append(words, c), " ")
}

func (d *diagnosis) once(facts *doctor.Facts, strict bool) error {
	list := doctor.Judge(facts)
	p := d.a.Printer()
	found := d.findings(list)
	err := p.Print(command.View{JSON: found}, func() {
		if len(list) == 0 {
			fmt.Fprintln(p, "Nothing is wrong.")
		}
		for _, f := range found {
			printFinding(p, f)
		}
		printParagraph(p, "", looked(facts))
	}, func() ([]string, [][]string) {
		var rows [][]string
		for _, f := range found {
			rows = append(rows, []string{f.Severity, f.text(), f.Do, strings.Join(f.Run, "; ")})
		}
		return []string{"SEVERITY", "WHAT", "TO DO", "RUN"}, rows
	})
	if err != nil {
		return err
	}
	if facts.Unreachable() {
		return command.UnreachableError{Cause: errors.New("no endpoint answers")}
	}
	count := make(map[doctor.Severity]int)
	for _, f := range list {
		count[f.Severity]++
	}
	if problems := count[doctor.Problem]; problems > 0 {
		return command.Reported(fmt.Sprintf("problems: %d", problems))
	}
	if warnings := count[doctor.Warning]; strict && warnings > 0 {
		return command.Reported(fmt.Sprintf("warnings: %d", warnings))
	}
	return nil
}

// looked says which members and what period the findings come from.
func looked(f *doctor.Facts) string {
	n := 0
	for _, m := range f.Members {
		if !m.Unlisted {
			n++
		}
	}
	members := fmt.Sprintf("Looked at %d members", n)
	if n == 1 {
		members = "Looked at one member"
	}
	if f.Period == 0 {
		return members + "; disks and elections are judged by everything since they started, or not at all."
	}
	return fmt.Sprintf(
		"%s; disks and elections are judged by the last %s (--period).",
		members,
		f.Period.Round(100*time.Millisecond),
	)
}

// text returns what is wrong, and the detail that programs report.
func (f finding) text() string {
	if f.Detail == "" {
		return f.What
	}
	return f.What + " (" + f.Detail + ")"
}

func printFinding(p *command.Printer, f finding) {
	printParagraph(p, strings.ToUpper(f.Severity[:1])+f.Severity[1:]+": ", p.Text([]byte(f.text())))
	if f.Means != "" {
		printParagraph(p, "  Means: ", f.Means)
	}
	if f.Do != "" {
		printParagraph(p, "  To do: ", f.Do)
	}
	for _, c := range f.Run {
		fmt.Fprintln(p, "    "+c) // not wrapped: people copy it
	}
}

// printParagraph writes text after a label, broken into lines that fit a terminal; what follows the
// first line is indented by two more than the label's blanks.
func printParagraph(p *command.Printer, label, text string) {
	if p.Width == 0 {
		fmt.Fprintln(p, label+text)
		return
	}
	indent := strings.Repeat(" ", 2+len(label)-len(strings.TrimLeft(label, " ")))
	for _, line := range columns.Wrap(label, strings.Join(strings.Fields(text), " "), indent, p.Width) {
		fmt.Fprintln(p, line)
	}
}
