package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/fairlead-go/fairlead/compat/internal/outcome"
)

// pair has the reports of a suite with each client.
type pair struct {
	suite                  suite
	ours, official         report
	haveOurs, haveOfficial bool
}

// printPage prints the last results of both clients in Markdown.
func printPage(out io.Writer, pairs []pair, all []outcome.Explanation) error {
	var b strings.Builder
	b.WriteString(
		"| suite | module | Fairlead: passed | not passed | skipped | official: passed | not passed | skipped | date " +
			"|\n",
	)
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
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
	switch {
	case !have:
		return "not run | |"
	case r.Err != "" && len(r.Results) == 0:
		return "could not be run | |"
	}
	v := outcome.Judge(r.Suite, r.Results, nil, false)
	return fmt.Sprintf("%d | %d | %d", v.Passed, v.Failed+v.Hung, v.Skipped)
}

// notes lists what did not pass with a client, and why. If it is the same with both clients, it is
// listed once.
func notes(b *strings.Builder, p pair, all []outcome.Explanation) {
	ours, official := about(p.ours, all, false), about(p.official, all, true)
	inBoth := make(map[string]bool)
	for _, l := range ours {
		inBoth[l] = false
	}
	for _, l := range official {
		if _, ok := inBoth[l]; ok {
			inBoth[l] = true
		}
	}
	var lines []string
	for _, l := range ours {
		if inBoth[l] {
			lines = append(lines, l)
		} else {
			lines = append(lines, "with Fairlead: "+l)
		}
	}
	for _, l := range official {
		if !inBoth[l] {
			lines = append(lines, "with the official client: "+l)
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(b, "\n### %s\n\n- %s\n", p.suite.name, strings.Join(lines, "\n- "))
	}
}

func about(r report, all []outcome.Explanation, official bool) []string {
	lines := append([]string(nil), r.Notes...)
	if r.Err != "" {
		lines = append(lines, "could not be run: "+oneLine(r.Err))
	}
	for _, g := range outcome.Judge(r.Suite, r.Results, all, official).Groups() {
		reason := "unexplained"
		if e := g[0].Explanation; e != nil {
			reason = fmt.Sprintf("%s (%s)", e.Reason, e.Class)
		}
		lines = append(lines, fmt.Sprintf("`%s` `%s` %s: %s", g[0].Package, names(g), g[0].Status, reason))
	}
	return lines
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
