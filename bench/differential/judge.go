package main

import (
	"slices"
	"strings"

	"github.com/fairlead-go/fairlead/bench/differential/report"
	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// tries is how often a program that shows a difference runs again, before what ours did counts as
// something that the official client does not do.
const tries = 10

// verdict is what a comparison comes to.
type verdict struct {
	unknown []report.Difference
	known   map[string]int // differences that are known, by name
	chance  bool           // what is unknown depends on time: the official client does so as well, on another run
}

// judge says what of the differences between two reports counts. What a program sees may depend on
// time, with either client. So ours may do all that the official client does in some run of the
// program, and nothing else: it is the official client that runs again, on both servers.
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
		// Where the two leasing clients agree there is nothing to judge.
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

// transparent is the name of the difference that a leasing client makes: none. What the official
// one does otherwise than the server is no measure, so ours is compared with the official client
// without it.
const transparent = "leasing makes no difference"

// matches runs a program by the official client on both servers. If one of the two saw what ours
// saw, it returns the known differences between them, else nil.
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

// without is a program without the wrappers of a kind, if it has one.
func without(p script.Program, kind string) (script.Program, bool) {
	n := len(p.Stack)
	p.Stack = slices.DeleteFunc(slices.Clone(p.Stack), func(l script.Layer) bool { return l.Kind == kind })
	return p, len(p.Stack) < n
}

// overtaken is whether all that a step shows is that with one client its context, which ends in the
// middle of the call, ended before the answer came. Such a difference has to show each time.
func overtaken(p script.Program, d report.Difference) bool {
	late := func(lines []string) bool {
		return slices.ContainsFunc(lines, func(l string) bool {
			return strings.Contains(l, "== context.Canceled") || strings.Contains(l, "== context.DeadlineExceeded")
		})
	}
	return d.Step < len(p.Steps) && ends(p.Steps[d.Step].Ctx) && late(d.Theirs) != late(d.Ours)
}
