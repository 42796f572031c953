package main

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/bench/differential/report"
	"github.com/fairlead-go/fairlead/bench/differential/script"
	"github.com/fairlead-go/fairlead/bench/differential/server"
)

// scripted is a side that returns prepared reports, one per run, and starts again after the last.
type scripted struct {
	runs []string
	n    atomic.Int64
}

func tell(runs ...string) *scripted { return &scripted{runs: runs} }

func (t *scripted) Run(*server.Server, script.Program, int64) report.Report {
	return report.Report{{t.runs[int(t.n.Add(1)-1)%len(t.runs)]}, {}}
}

// TestJudge: ours may do what the official client does in some run, and nothing else.
func TestJudge(t *testing.T) {
	r := start(t, kinds[0])
	const late = "== context.DeadlineExceeded"
	hurried := script.Context{Kind: "timeout", After: 50 * time.Millisecond}
	for _, c := range []struct {
		name         string
		ctx          script.Context
		theirs, ours *scripted
		unknown      bool
		chance       bool
	}{
		{"the same", script.Context{}, tell("a"), tell("a"), false, false},
		{"never theirs", script.Context{}, tell("a"), tell("b"), true, false},
		{"never theirs, and theirs differs from run to run", script.Context{}, tell("a", "b",
			"c"), tell("d"), true, false},
		{"ours now and then does what theirs never does", script.Context{}, tell("a"), tell("b", "a"), true, false},
		{"theirs now and then", script.Context{}, tell("a", "a", "a", "a", "a", "a", "b"), tell("b"), true, true},
		{"a context that ended before our answer, once", hurried, tell("a"), tell(late, "a"), true, true},
		{"a context that ended before their answer, once", hurried, tell(late, "a"), tell("a"), true, true},
		{"ours always ends with its context", hurried, tell("a"), tell(late), true, false},
		{"a context that does not end in the middle", script.Context{}, tell("a"), tell(late, "a"), true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.sides = [2]executes{c.theirs, c.ours}
			p := script.Program{Family: "kv", Steps: []script.Step{{Call: "Get", Key: "a", Ctx: c.ctx}}}
			seen, err := r.run(p)
			if err != nil {
				t.Fatal(err)
			}
			v, err := r.judge(p, seen, tries)
			if err != nil {
				t.Fatal(err)
			}
			if unknown := len(v.unknown) > 0; unknown != c.unknown || v.chance != c.chance {
				t.Errorf("unknown %v, chance %v; want %v, %v", unknown, v.chance, c.unknown, c.chance)
			}
		})
	}
}

// without removes wrappers of one kind only.
func TestWithout(t *testing.T) {
	p := script.Program{Stack: []script.Layer{{Kind: "namespace", Prefix: "n/"}, {Kind: "leasing"}, {Kind: "ordering"}}}
	q, ok := without(p, "leasing")
	if !ok || !slices.Equal(q.Stack, []script.Layer{{Kind: "namespace", Prefix: "n/"}, {Kind: "ordering"}}) {
		t.Errorf("%v, %v", q.Stack, ok)
	}
	if len(p.Stack) != 3 {
		t.Error("the program itself has changed")
	}
	if _, ok := without(q, "leasing"); ok {
		t.Error("there was none")
	}
}

// TestNext: families with too little come first, then the one with the shortest time.
func TestNext(t *testing.T) {
	kv, watch := newTally("kv"), newTally("watch")
	kv.took, watch.took = time.Second, time.Minute
	kv.programs, watch.programs = floors["kv"].programs, floors["watch"].programs-1
	if got := next([]*tally{kv, watch}, false); got != watch {
		t.Errorf("%s, but there are too few programs of watch", got.family)
	}
	watch.programs++
	if got := next([]*tally{kv, watch}, false); got != kv {
		t.Errorf("%s, but kv had less time", got.family)
	}
	for _, call := range []string{"Get", "Put", "Delete", "Do", "Op", "GetStream", "Grant"} {
		kv.worked[call]++
		kv.failed[call]++
	}
	if got := next([]*tally{kv, watch}, true); got != watch {
		t.Errorf("%s, but not every call of watch was compared", got.family)
	}
}
