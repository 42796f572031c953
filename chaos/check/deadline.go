package check

import (
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
)

const (
	// overtime is what a call may take beyond its context on an idle machine.
	overtime = 100 * time.Millisecond
	// overtimeMax, beyond what timers were late meanwhile, is a violation.
	overtimeMax = 2 * time.Second
)

// DeadlineReport says how calls kept their contexts.
type DeadlineReport struct {
	Worst time.Duration // the longest that a call went on beyond its context; negative: none did
	Over  int           // calls that went on for more than 100 ms
	Ours  int           // of these, those beyond what the timers of this process were late meanwhile
}

// Deadlines checks that no call returned much later than its context ended. What is above
// 100 ms is counted, what is above 2 s is a violation, apart from what timers were late: a
// loaded machine delays every goroutine, and the one that measures too.
func Deadlines(ops []history.Op, late history.Lateness) (DeadlineReport, []Violation) {
	r := DeadlineReport{Worst: -1}
	var bad []Violation
	for i := range ops {
		o := &ops[i]
		if o.Deadline == 0 {
			continue
		}
		over := o.Return - o.Deadline
		if over < 0 {
			continue
		}
		r.Worst = max(r.Worst, over)
		if over > overtime {
			r.Over++
			if over > overtime+late.Max(o.Deadline, o.Return) {
				r.Ours++
			}
		}
		if over > overtimeMax+late.Max(o.Deadline, o.Return) {
			bad = append(bad, violation("deadline", "%v beyond its context: %s", over, describe(o)))
		}
	}
	return r, bad
}
