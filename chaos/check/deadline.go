package check

import (
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
)

const (
	// overtime is how long a call may go on after its context ended, on an idle machine.
	overtime = 100 * time.Millisecond
	// overtimeMax plus the lateness of timers meanwhile is the limit: beyond it is a violation.
	overtimeMax = 2 * time.Second
)

// DeadlineReport says how well calls kept to their contexts.
type DeadlineReport struct {
	Worst time.Duration // the longest that a call went on beyond its context; negative: none did
	Over  int           // calls that went on for more than 100 ms
	Ours  int           // of these, those that exceed it by more than the timers of this process were late meanwhile
}

// Deadlines checks that no call returned much later than its context ended. More than 100 ms is
// counted. More than 2 s plus the lateness of timers is a violation: a loaded machine delays every
// goroutine, also the one that measures.
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
