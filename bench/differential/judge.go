package main

import (
	"slices"
	"strings"

	"github.com/fairlead-go/fairlead/bench/differential/report"
	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// tries is how often the official client runs a program again before a difference counts: what
// ours did then is something that the official client does not do.
const tries = 10

// verdict is the result of a comparison.
type verdict struct {
	unknown []report.Difference
	known   map[string]int // known differences, by name
	chance  bool           // unknown depends on time: in another run the official client did the same
}

// judge decides which differences between two reports count. With either client, what a program
// sees may depend on time. So ours may do whatever the official client does in some run of the
// program, and nothing else. To find such a run, the official client runs again, on both servers.
func (r *rig) judge(p script.Program, seen [2]report.Report, tries int) (verdict, error) {
	unknown, known := sift(p, report.Compare(seen[0], seen[1]))
	v := verdict{unknown: unknown, known: known}
	if len(unknown) == 0 {
		return v, nil
	}
	if plain, ok := without(p, "leasing"); ok {
		theirs, err := r.execute(plain, [2]executes{r.sides[0], r.sides[0]})
		if err != nil {
			return v, err
		}
		rest, _ := sift(plain, report.Compare(theirs[0], seen[1]))
		// A step needs no judgement if our leasing client agrees with the plain official one.
		unknown = slices.DeleteFunc(slices.Clone(unknown), func(d report.Difference) bool {
			return !slices.ContainsFunc(rest, func(r report.Difference) bool { return r.Step == d.Step })
		})
		if len(unknown) == 0 {
			known[transparent]++
			return verdict{known: known}, nil
		}
	}
	for range tries {
		known, err := r.matches(p, seen[1])
		if err != nil {
			return v, err
		}
		if known != nil {
			return verdict{unknown: unknown, known: known, chance: true}, nil
		}
		if !overtaken(p, unknown[0]) {
			continue
		}
		again, err := r.run(p)
		if err != nil {
			return v, err
		}
		if rest, known := sift(p, report.Compare(again[0], again[1])); len(rest) == 0 {
			return verdict{unknown: unknown, known: known, chance: true}, nil
		}
	}
	return v, nil
}

// transparent is the name of the difference that a leasing client should make: none. Where the
// official leasing client deviates from the server it is no measure, so ours is compared with the
// official client without leasing.
const transparent = "leasing makes no difference"

// matches runs a program with the official client on both servers. If one of the runs saw what
// ours saw, matches returns the known differences between them, else nil.
func (r *rig) matches(p script.Program, ours report.Report) (map[string]int, error) {
	theirs, err := r.execute(p, [2]executes{r.sides[0], r.sides[0]})
	if err != nil {
		return nil, err
	}
	for _, t := range theirs {
		if unknown, known := sift(p, report.Compare(t, ours)); len(unknown) == 0 {
			return known, nil
		}
	}
	return nil, nil
}

// without returns a program without its wrappers of a kind, and whether it had any.
func without(p script.Program, kind string) (script.Program, bool) {
	n := len(p.Stack)
	p.Stack = slices.DeleteFunc(slices.Clone(p.Stack), func(l script.Layer) bool { return l.Kind == kind })
	return p, len(p.Stack) < n
}

// overtaken reports whether a step differs only because its context, which ends during the call,
// ended before the answer came with one client and not with the other. Such a difference counts
// only if it shows each time.
func overtaken(p script.Program, d report.Difference) bool {
	late := func(lines []string) bool {
		return slices.ContainsFunc(lines, func(l string) bool {
			return strings.Contains(l, "== context.Canceled") || strings.Contains(l, "== context.DeadlineExceeded")
		})
	}
	return d.Step < len(p.Steps) && ends(p.Steps[d.Step].Ctx) && late(d.Theirs) != late(d.Ours)
}
