package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-go/fairlead/bench/differential/draw"
	"github.com/fairlead-go/fairlead/bench/differential/report"
	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// tally counts what was compared of a family.
type tally struct {
	family          string
	programs, steps int
	took            time.Duration
	worked          map[string]int // steps that worked, by call
	failed          map[string]int // steps that failed, by call
	known           map[string]int // known differences, by name
	chance          int            // programs with a difference that the official client shows too, by chance
	different       int
	shapes          map[string]bool // of the differences that were printed
}

func newTally(family string) *tally {
	return &tally{
		family: family,
		worked: make(map[string]int),
		failed: make(map[string]int),
		known:  make(map[string]int),
		shapes: make(map[string]bool),
	}
}

// add counts a program by what its steps saw, which is the official client's report.
func (t *tally) add(p script.Program, seen report.Report) {
	t.programs++
	t.steps += len(p.Steps)
	for i, s := range p.Steps {
		if i >= len(seen) {
			break
		}
		if slices.ContainsFunc(seen[i], isError) {
			t.failed[s.Call]++
		} else {
			t.worked[s.Call]++
		}
	}
}

func isError(line string) bool {
	for _, begin := range []string{"rpctypes error", "== ", "error of code", "panic", "keepalive halted"} {
		if strings.HasPrefix(line, begin) {
			return true
		}
	}
	return false
}

// extension is how many times its duration a run may take if the machine is too busy to compare
// enough in it.
const extension = 3

// compare runs the programs of the families in turn: first those of families with too few
// programs, then each family for the same time.
func (r *rig) compare(c config, families []string) ([]*tally, error) {
	var tallies []*tally
	for _, f := range families {
		tallies = append(tallies, newTally(f))
	}
	began := time.Now()
	for i := 0; ; i++ {
		var t *tally
		if c.programs > 0 {
			if i == c.programs*len(families) {
				return tallies, nil
			}
			t = tallies[i/c.programs]
		} else {
			due := time.Since(began) >= c.duration
			if due && enough(tallies) == nil || time.Since(began) >= extension*c.duration {
				return tallies, nil
			}
			t = next(tallies, due)
		}
		began := time.Now()
		if err := r.one(c, t); err != nil {
			return tallies, err
		}
		t.took += time.Since(began)
		if len(t.shapes) == c.enough {
			return tallies, nil
		}
	}
}

// next returns the family that has had the least time. While some families have too few programs,
// or too little was compared of some when time is up, it chooses only among those.
func next(tallies []*tally, due bool) *tally {
	least := func(a, b *tally) int { return cmp.Compare(a.took, b.took) }
	short := func(t *tally) bool { return len(t.missing()) > 0 }
	if !due {
		short = func(t *tally) bool { return t.programs < floors[t.family].programs }
	}
	if some := slices.DeleteFunc(slices.Clone(tallies), func(t *tally) bool { return !short(t) }); len(some) > 0 {
		tallies = some
	}
	return slices.MinFunc(tallies, least)
}

// one compares a family's next program.
func (r *rig) one(c config, t *tally) error {
	p := draw.Program(t.family, c.seed+uint64(t.programs))
	if c.verbose {
		fmt.Printf("%s, seed %d:\n%s", p.Family, p.Seed, p)
	}
	reports, err := r.run(p)
	if err != nil {
		return fmt.Errorf("%s, seed %d: %w", p.Family, p.Seed, err)
	}
	if c.verbose {
		fmt.Print(seen(p, reports[0]))
	}
	t.add(p, reports[0])
	v, err := r.judge(p, reports, tries)
	if err != nil {
		return fmt.Errorf("%s, seed %d: %w", p.Family, p.Seed, err)
	}
	for name, n := range v.known {
		t.known[name] += n
	}
	if v.chance {
		t.chance++
		fmt.Printf("\nBy chance in %s, seed %d:\n%s", p.Family, p.Seed, show(p, v.unknown))
		return nil
	}
	if len(v.unknown) == 0 {
		return nil
	}
	t.different++
	short, diffs := r.shrink(p, v.unknown)
	if shape := shape(short); !t.shapes[shape] {
		t.shapes[shape] = true
		fmt.Print(explain(p, short, diffs))
	}
	return nil
}

// shape is what a program does, without its arguments: programs of the same shape most often show
// the same difference.
func shape(p script.Program) string {
	var b strings.Builder
	var write func(s script.Step)
	write = func(s script.Step) {
		b.WriteString(" " + s.Call + " " + s.Ctx.Kind)
		for _, o := range s.Opts {
			b.WriteString(" " + o.Name)
		}
		for _, part := range [][]script.Step{s.Then, s.Else} {
			for _, op := range part {
				write(op)
			}
		}
	}
	for _, l := range p.Stack {
		b.WriteString(" " + l.Kind)
	}
	for _, s := range p.Steps {
		write(s)
	}
	return b.String()
}

// explain prints the shortest program that shows a difference.
func explain(p, short script.Program, diffs []report.Difference) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nDIFFERENCE in %s, seed %d:\n%s%s", p.Family, p.Seed, short, show(short, diffs))
	return b.String()
}

// show prints what steps saw.
func show(p script.Program, diffs []report.Difference) string {
	var b strings.Builder
	for _, d := range diffs {
		fmt.Fprintf(&b, "%s official:\n%s%s ours:\n%s", at(p, d.Step), indent(d.Theirs), at(p, d.Step), indent(d.Ours))
	}
	return b.String()
}

func at(p script.Program, step int) string {
	if step >= len(p.Steps) {
		return "the end,"
	}
	return fmt.Sprintf("step %d,", step)
}

func indent(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "      %s\n", l)
	}
	return b.String()
}

func seen(p script.Program, r report.Report) string {
	var b strings.Builder
	for i, lines := range r {
		fmt.Fprintf(&b, "  %s saw:\n%s", at(p, i), indent(lines))
	}
	return b.String()
}

// summary prints what was compared, and fails on differences and on too little.
func summary(all []*tally, few bool) error {
	fmt.Println(
		"\n| family | programs | steps | failed as well | by chance | time | known differences " +
			"|\n|---|---|---|---|---|---|---|",
	)
	var err error
	for _, t := range all {
		failed := 0
		for _, n := range t.failed {
			failed += n
		}
		var known []string
		for _, name := range slices.Sorted(maps.Keys(t.known)) {
			known = append(known, fmt.Sprintf("%s: %d", name, t.known[name]))
		}
		fmt.Printf("| %s | %d | %d | %d | %d | %v | %s |\n", t.family, t.programs, t.steps, failed, t.chance,
			t.took.Round(100*time.Millisecond), strings.Join(known, ", "))
		if t.different > 0 {
			err = errDifferent
		}
	}
	if err == nil && !few {
		err = enough(all)
	}
	return err
}
