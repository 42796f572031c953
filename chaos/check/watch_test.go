package check

import (
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// stored is a short truth: revisions 2 to 7 over the keys p/a, p/b and q.
func stored() *history.Truth {
	s := newStory()
	s.commit(put("p/a", "1"))                  // 2
	s.commit(put("q", "2"))                    // 3
	s.commit(put("p/a", "3"), put("p/b", "3")) // 4
	s.commit(del("p/a"))                       // 5
	s.commit(put("q", "6"))                    // 6
	s.commit(put("p/a", "7"))                  // 7
	return &s.truth
}

// deliver is a response with the events of the truth with these numbers.
func deliver(t *history.Truth, numbers ...int) history.Step {
	var s history.Step
	for _, n := range numbers {
		s.Events = append(s.Events, history.WatchEvent{Event: t.Events[n]})
	}
	return s
}

func TestWatches(t *testing.T) {
	truth := stored()
	// Numbers of events: 0 a=1, 1 q, 2 a=3, 3 b=3, 4 delete a, 5 q, 6 a=7.
	change := func(s history.Step, f func(e *history.WatchEvent)) history.Step { f(&s.Events[0]); return s }
	compacted := func(rev int64) history.Step { return history.Step{Err: "compacted", CompactRev: rev} }
	progress := func(rev int64) history.Step { return history.Step{Rev: rev, Progress: true} }
	for name, c := range map[string]struct {
		w     history.Watch
		words []string
	}{
		"all": {history.Watch{Start: 1, Last: true, Steps: []history.Step{
			deliver(truth, 0), deliver(truth, 2, 3), deliver(truth, 4, 6),
		}}, nil},
		"from the middle": {
			history.Watch{Start: 5, Last: true, Steps: []history.Step{deliver(truth, 4), deliver(truth, 6)}}, nil,
		},
		"from now": {
			history.Watch{Last: true, Steps: []history.Step{{Created: true, Rev: 5}, deliver(truth, 6)}}, nil,
		},
		"cancelled early": {history.Watch{Start: 1, Steps: []history.Step{deliver(truth, 0)}}, nil},
		"one key": {
			history.Watch{Scope: "q", Start: 1, Last: true, Steps: []history.Step{deliver(truth, 1, 5)}}, nil,
		},
		"progress": {
			history.Watch{Start: 1, Steps: []history.Step{deliver(truth, 0), progress(3), deliver(truth, 2, 3)}}, nil,
		},
		"fragments": {
			history.Watch{Start: 4, Fragments: true, Steps: []history.Step{deliver(truth, 2), deliver(truth, 3)}}, nil,
		},
		"compacted": {history.Watch{Start: 1, Steps: []history.Step{deliver(truth, 0), compacted(5)}}, nil},
		"left out": {history.Watch{Start: 1, Steps: []history.Step{deliver(truth, 0), deliver(truth, 4)}}, []string{
			"delivered delete p/a @5", "put p/a=\"3\" @4 is next",
		}},
		"left out at first": {
			history.Watch{Start: 1, Steps: []history.Step{deliver(truth, 2, 3)}}, []string{"is next"},
		},
		"half a revision": {
			history.Watch{Start: 4, Steps: []history.Step{deliver(truth, 3), deliver(truth, 4)}}, []string{"is next"},
		},
		"twice": {
			history.Watch{Start: 1, Steps: []history.Step{deliver(truth, 0), deliver(truth, 0)}}, []string{"is next"},
		},
		"twice at the end": {history.Watch{Start: 7, Steps: []history.Step{
			deliver(truth, 6), deliver(truth, 6),
		}}, []string{"or it had delivered before"}},
		"too old": {history.Watch{Start: 4, Steps: []history.Step{deliver(truth, 0), deliver(truth, 2, 3)}}, []string{
			"is next",
		}},
		"too old for now": {
			history.Watch{Steps: []history.Step{{Created: true, Rev: 5}, deliver(truth, 4)}}, []string{"is next"},
		},
		"not confirmed":   {history.Watch{Steps: []history.Step{deliver(truth, 4)}}, []string{"not the confirmation"}},
		"never confirmed": {history.Watch{Last: true}, []string{"never confirmed"}},
		"another's": {
			history.Watch{Start: 1, Steps: []history.Step{deliver(truth, 0, 1)}}, []string{"delivered put q"},
		},
		"order": {history.Watch{Start: 1, Steps: []history.Step{deliver(truth, 0), deliver(truth, 3, 2)}}, []string{
			"is next",
		}},
		"a split revision": {
			history.Watch{Start: 4, Steps: []history.Step{deliver(truth, 2), deliver(truth, 3)}}, []string{"apart"},
		},
		"another value": {history.Watch{Start: 1, Steps: []history.Step{
			change(deliver(truth, 0), func(e *history.WatchEvent) { e.Value = "x" })}},
			[]string{"delivered put p/a=\"x\""}},
		"put for delete": {history.Watch{Start: 5, Steps: []history.Step{
			change(deliver(truth, 4), func(e *history.WatchEvent) { e.Delete = false })}}, []string{"is next"}},
		"previous": {history.Watch{Start: 5, Steps: []history.Step{
			change(deliver(truth, 4), func(e *history.WatchEvent) { e.Prev = &history.KV{Value: "3", ModRev: 4} })}},
			nil},
		"wrong previous": {history.Watch{Start: 5, Steps: []history.Step{
			change(deliver(truth, 4), func(e *history.WatchEvent) { e.Prev = &history.KV{Value: "1", ModRev: 2} })}},
			[]string{"previous value"}},
		"silent at the end": {history.Watch{Start: 1, Last: true, Steps: []history.Step{
			deliver(truth, 0), deliver(truth, 2, 3),
		}}, []string{"2 events", "missing"}},
		"silent": {history.Watch{Start: 1, Last: true}, []string{"5 events"}},
		"progress too far": {history.Watch{Start: 1, Steps: []history.Step{deliver(truth, 0), progress(4)}}, []string{
			"claimed to have reached revision 4",
		}},
		"ended": {history.Watch{Start: 1, Steps: []history.Step{deliver(truth, 0), {Err: "halted"}}}, []string{
			"ended by itself: halted",
		}},
		"compacted by nobody": {
			history.Watch{Start: 1, Steps: []history.Step{compacted(4)}}, []string{"nobody asked for"},
		},
		"compacted for nothing": {history.Watch{Start: 1, Steps: []history.Step{
			deliver(truth, 0), deliver(truth, 2, 3), compacted(5),
		}}, []string{"needed nothing below 5"}},
		"compacted after events": {
			history.Watch{Scope: "q", Start: 1, Steps: []history.Step{deliver(truth, 1), compacted(5)}}, nil,
		},
		"compacted after progress": {history.Watch{Scope: "q", Start: 1, Steps: []history.Step{
			deliver(truth, 1), progress(4), compacted(5),
		}}, []string{"needed nothing below 5"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.w.Scope == "" {
				c.w.Scope = "p/"
			}
			c.w.Cancelled = 1
			c.w.NoPrev = true // except for those that are there
			_, v := Watches([]history.Watch{c.w}, truth, 7, []history.Compaction{{Rev: 5}})
			expect(t, v, c.words...)
		})
	}
	_, v := Watches([]history.Watch{{Scope: "p/", Start: 1}}, truth, 7, nil)
	expect(t, v, "closed without a reason")
}

// A previous value is missing only where a compaction may have taken it.
func TestMissingPreviousValues(t *testing.T) {
	truth := stored()
	w := history.Watch{Scope: "q", Start: 4, Cancelled: 1, Steps: []history.Step{deliver(truth, 5)}}
	w.Steps[0].At = time.Second
	_, v := Watches([]history.Watch{w}, truth, 7, []history.Compaction{{Rev: 5}, {Rev: 6, At: 2 * time.Second}})
	expect(t, v, "without the previous value")
	_, v = Watches([]history.Watch{w}, truth, 7, []history.Compaction{{Rev: 6}})
	expect(t, v)
}

func TestWatchesCount(t *testing.T) {
	truth := stored()
	r, v := Watches([]history.Watch{
		{
			Scope:  "p/",
			Start:  1,
			NoPrev: true,
			Steps:  []history.Step{deliver(truth, 0), {Err: "compacted", CompactRev: 5}},
		},
		{Scope: "p/", Start: 5, NoPrev: true, Last: true, Cancelled: 1, Steps: []history.Step{deliver(truth, 4, 6)}},
	}, truth, 7, []history.Compaction{{Rev: 5}})
	expect(t, v)
	if r != (WatchReport{Events: 3, Compacted: 1, Skipped: 2}) {
		t.Errorf("%+v", r)
	}
}
