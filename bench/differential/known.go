package main

import (
	"slices"

	"github.com/fairlead-go/fairlead/bench/differential/report"
	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// known is an intended difference; docs/differences.md explains it to users.
type known struct {
	name   string
	reason string
	// is reports whether this difference explains everything that a step shows.
	is func(s script.Step, d report.Difference) bool
	// line reports whether it explains a line that only one side has.
	line func(line string, ours bool) bool
	// rewrite removes it from what a step shows.
	rewrite func(s script.Step, d report.Difference) report.Difference
	// when reports whether the program can show it at a step; nil: any program can.
	when func(p script.Program, step int) bool
	// apart means that the servers' states differ from then on, so that the rest of the program is
	// not compared.
	apart bool
	// chance means that it does not show each time, so no test requires it.
	chance bool
}

// sift returns the unknown differences of a program, and counts the known ones by name.
func sift(p script.Program, diffs []report.Difference) (unknown []report.Difference, counts map[string]int) {
	counts = make(map[string]int)
	for _, d := range diffs {
		d, apart := explainKnown(p, d, counts)
		if !slices.Equal(d.Theirs, d.Ours) {
			unknown = append(unknown, d)
		}
		if apart {
			break
		}
	}
	return unknown, counts
}

// explainKnown removes the known parts of a difference. It also reports whether the rest of the
// program means nothing.
func explainKnown(p script.Program, d report.Difference, counts map[string]int) (rest report.Difference, apart bool) {
	var s script.Step
	if d.Step < len(p.Steps) {
		s = p.Steps[d.Step]
	}
	for _, k := range table {
		switch {
		case slices.Equal(d.Theirs, d.Ours):
			return d, apart
		case k.when != nil && !k.when(p, d.Step):
		case k.is != nil && k.is(s, d):
			counts[k.name]++
			return report.Difference{Step: d.Step}, apart || k.apart
		case k.rewrite != nil:
			r := k.rewrite(s, d)
			if !slices.Equal(r.Theirs, d.Theirs) || !slices.Equal(r.Ours, d.Ours) {
				counts[k.name]++
				apart = apart || k.apart
			}
			d = r
		case k.line != nil:
			d.Theirs = drop(d.Theirs, k, false, counts)
			d.Ours = drop(d.Ours, k, true, counts)
		}
	}
	return d, apart
}

func drop(lines []string, k known, ours bool, counts map[string]int) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
		if !k.line(l, ours) {
			return false
		}
		counts[k.name]++
		return true
	})
}
