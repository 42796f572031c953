package doctor

import (
	"slices"
	"time"
)

const clockTolerance = 3 * time.Second // the answers have whole seconds only

// clocks: if all members are off in the same way, this machine's clock is the wrong one.
func clocks(f *Facts) (list []Finding) {
	var off []time.Duration
	asked := 0
	for _, m := range f.Members {
		a, _ := m.status()
		if a == nil || !a.HasClock {
			continue
		}
		asked++
		if a.Clock.Abs() > clockTolerance {
			off = append(off, a.Clock)
			list = append(list, warning("clock", "run a time service there and here",
				"the clock of %s is %s this machine's", m.title(), apart(a.Clock)).of(m.title()).run("doctor"))
		}
	}
	if asked > 1 && len(off) == asked && slices.Max(off)-slices.Min(off) <= clockTolerance {
		return []Finding{warning(
			"own-clock",
			"run a time service here",
			"the clock of this machine is wrong, or those of all members: theirs are %s it",
			apart(off[0]),
		).run("doctor")}
	}
	return list
}

func apart(d time.Duration) string {
	way := "ahead of"
	if d < 0 {
		way = "behind"
	}
	return d.Abs().Round(time.Second).String() + " " + way
}
