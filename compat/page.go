package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/fairlead-go/fairlead/compat/internal/outcome"
)

// pair is what is known of a suite with each client.
type pair struct {
	suite                  suite
	ours, official         report
	haveOurs, haveOfficial bool
}

// printPage prints the last results of both clients in Markdown.
func printPage(out io.Writer, pairs []pair, all []outcome.Explanation) error {
	var b strings.Builder
	b.WriteString("| suite | tests of | with Fairlead | | | with the official client | | | date |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	b.WriteString("| | | passed | not passed | skipped | passed | not passed | skipped | |\n")
	for _, p := range pairs {
		date := ""
		if p.haveOurs {
			date = p.ours.Date.UTC().Format("2006-01-02")
		}
		fmt.Fprintf(&b, "| %s | `%s@%s` | %s | %s | %s |\n", p.suite.name, p.suite.module, p.suite.version,
			cells(p.ours, p.haveOurs), cells(p.official, p.haveOfficial), date)
	}
	for _, p := range pairs {
		notes(&b, p, all)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func cells(r report, have bool) string {
	if !have {
		return "not run | |"
	}
	if r.Err != "" && len(r.Results) == 0 {
		return "could not be run | |"
	}
	v := outcome.Judge(r.Suite, r.Results, nil, false)
	return fmt.Sprintf("%d | %d | %d", v.Passed, v.Failed+v.Hung, v.Skipped)
}

// notes lists what did not pass with a client, and why.
func notes(b *strings.Builder, p pair, all []outcome.Explanation) {
	var lines []string
	add := func(r report, have, official bool) {
		if !have {
			return
		}
		client := "Fairlead"
		if official {
			client = "the official client"
		}
		if r.Err != "" {
			lines = append(lines, fmt.Sprintf("- with %s it could not be run: %s", client, oneLine(r.Err)))
		}
		for _, j := range outcome.Judge(r.Suite, r.Results, all, official).NotPassed {
			reason := "unexplained"
			if j.Explanation != nil {
				reason = oneLine(why(j))
			}
			lines = append(lines, fmt.Sprintf("- `%s` `%s` %s with %s: %s", j.Package, j.Test, j.Status, client, reason))
		}
	}
	for _, n := range p.ours.Notes {
		lines = append(lines, "- "+n)
	}
	add(p.ours, p.haveOurs, false)
	add(p.official, p.haveOfficial, true)
	if len(lines) > 0 {
		fmt.Fprintf(b, "\n### %s\n\n%s\n", p.suite.name, strings.Join(lines, "\n"))
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
