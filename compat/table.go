package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fairlead-go/fairlead/compat/internal/outcome"
)

// printTable prints the results of the suites, and returns the exit status.
func printTable(out io.Writer, reports []report, all []outcome.Explanation, official bool) (code int) {
	fmt.Fprintln(out)
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "suite\tpassed\tfailed\thung\tskipped\ttime\t\n")
	var verdicts []outcome.Verdict
	for _, r := range reports {
		v := outcome.Judge(r.Suite, r.Results, all, official)
		if r.Part {
			v.Stale = nil // only some tests were run
		}
		verdicts = append(verdicts, v)
		note := "ok"
		switch {
		case r.Err != "":
			note, code = "NOT RUN", exitNoRun
			if len(r.Results) > 0 {
				note = "NOT ALL RUN"
			}
		case !v.Good():
			note, code = "NOT OK", max(code, exitBad)
		}
		took := time.Duration(r.Seconds * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%v\t%s\n", r.Suite, v.Passed, v.Failed, v.Hung, v.Skipped, took, note)
	}
	tw.Flush()
	for i, r := range reports {
		printDetails(out, r, verdicts[i])
	}
	return code
}

func printDetails(out io.Writer, r report, v outcome.Verdict) {
	if r.Err == "" && len(r.Notes) == 0 && len(v.NotPassed) == 0 && len(v.Stale) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s (%s@%s)\n", r.Suite, r.Module, r.Version)
	if r.Err != "" {
		fmt.Fprintf(out, "  COULD NOT BE RUN: %s\n", indent(r.Err))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(out, "  %s\n", n)
	}
	for _, s := range v.Stale {
		fmt.Fprintf(out, "  EXPLAINED IN VAIN: explained.txt, %s\n", s)
	}
	for _, g := range v.Groups() {
		fmt.Fprintf(out, "  %s %s %s: %s\n", g[0].Status, g[0].Package, names(g), indent(why(g[0])))
	}
}

// why returns the reason why a test did not pass, as far as it is known.
func why(j outcome.Judged) string {
	if j.Explanation != nil {
		return string(j.Explanation.Class) + ": " + j.Explanation.Reason
	}
	return "UNEXPLAINED\n" + j.Output
}

// names returns the names of a group's tests, or their common name if there are many.
func names(g []outcome.Judged) string {
	if len(g) > 3 {
		return fmt.Sprintf("%s (%d tests)", g[0].Explanation.Test, len(g))
	}
	var all []string
	for _, j := range g {
		all = append(all, j.Test)
	}
	return strings.Join(all, ", ")
}

func indent(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n      ") }
