package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/doctor"
)

// event is the beginning or the end of a finding.
type event struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"` // begun or over
	// Since is when a finding that is over was first seen.
	Since *time.Time `json:"since,omitempty"`
	finding
}

// seen is a finding and when it was first seen.
type seen struct {
	finding
	at time.Time
}

// watch examines the cluster repeatedly and prints the changes; at first these are all findings.
func (d *diagnosis) watch(ctx context.Context, c *clientv3.Client, o doctor.Options) error {
	var present []seen
	rounds := time.NewTicker(o.Period)
	defer rounds.Stop()
	for first := true; ; first = false {
		facts, err := doctor.Gather(ctx, c, o)
		if err != nil {
			return command.Ended(ctx, err)
		}
		var events []event
		present, events = changes(present, d.findings(doctor.Judge(facts)), facts.Now)
		if err := d.tell(facts.Now, events, first, len(present)); err != nil {
			return err
		}
		o.Before = facts
		select {
		case <-rounds.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// changes returns the findings that are present now, and the events that lead from before to them.
// A finding stays the same while its figures change.
func changes(before []seen, found []finding, now time.Time) (present []seen, events []event) {
	same := func(a finding) func(seen) bool {
		return func(b seen) bool {
			return a.Rule == b.Rule && a.Severity == b.Severity && slices.Equal(a.Members, b.Members)
		}
	}
	for _, f := range found {
		s := seen{f, now}
		if i := slices.IndexFunc(before, same(f)); i >= 0 {
			s.at = before[i].at
		} else {
			events = append(events, event{Time: now, Event: "begun", finding: f})
		}
		present = append(present, s)
	}
	var over []event
	for _, s := range before {
		if !slices.ContainsFunc(present, same(s.finding)) {
			over = append(over, event{Time: now, Event: "over", Since: &s.at, finding: s.finding})
		}
	}
	return present, append(over, events...)
}

// tell prints events, a line for each, and then the number of findings that are left.
func (d *diagnosis) tell(now time.Time, events []event, first bool, left int) error {
	p := d.a.Printer()
	at := now.Format(time.DateTime) + " "
	for _, e := range events {
		line := strings.ToUpper(e.Severity[:1]) + e.Severity[1:] + ": " + p.Text([]byte(e.text())) + "; " + e.Means
		if e.Event == "over" {
			line = fmt.Sprintf(
				"Over after %s: %s",
				now.Sub(*e.Since).Round(100*time.Millisecond),
				p.Text([]byte(e.What)),
			)
		}
		if err := p.Print(command.View{JSON: e}, func() { fmt.Fprintln(p, at+line) }, func() ([]string, [][]string) {
			return []string{"TIME", "EVENT", "SEVERITY", "WHAT"},
				[][]string{{now.Format(time.DateTime), e.Event, e.Severity, e.text()}}
		}); err != nil {
			return err
		}
	}
	if p.Format != command.FormatPlain {
		return p.Flush()
	}
	switch {
	case first && left == 0:
		fmt.Fprintln(p, at+"Nothing is wrong.")
	case len(events) > 0 && left == 0:
		fmt.Fprintln(p, at+"Nothing is wrong any more.")
	case left > 0 && !d.referred:
		d.referred = true
		fmt.Fprintln(p, at+"What to do: "+d.command("doctor"))
	}
	return p.Flush()
}
