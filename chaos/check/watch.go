package check

import (
	"slices"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// WatchReport counts what the watches delivered.
type WatchReport struct {
	Events    int // delivered
	Prevs     int // of these, those with a previous value
	Compacted int // watches that ended because what they needed was compacted
	Skipped   int // events that compaction kept from them
}

// Watches checks that every watch delivered exactly the committed events of its range,
// in order, once:
//
//   - from its first revision on, each event is the next one that the truth has for its range,
//     with nothing left out up to the last one delivered; a response with revision R and no events
//     (progress) says that all events up to R have been delivered;
//   - all events of a revision come in one response, unless fragments were asked for;
//   - a watch that was cancelled at the end of the run, after everything had healed, has delivered
//     everything up to the final revision;
//   - it ends by itself only because of a compaction, and only if a compaction that was really
//     asked for could have removed the event it needed next. A watch that goes on from
//     CompactRevision is another watch, judged by itself;
//   - previous values are those of the truth, and they are there unless they may have been
//     compacted.
func Watches(
	watches []history.Watch,
	truth *history.Truth,
	final int64,
	compactions []history.Compaction,
) (WatchReport, []Violation) {
	var r WatchReport
	var bad []Violation
	versions := truth.ByKey()
	for i := range watches {
		if v, ok := one(&watches[i], truth, versions, final, compactions, &r); !ok {
			bad = append(bad, v)
		}
	}
	return r, bad
}

func one(
	w *history.Watch,
	truth *history.Truth,
	versions map[string][]history.Event,
	final int64,
	compactions []history.Compaction,
	r *WatchReport,
) (Violation, bool) {
	fail := func(format string, args ...any) (Violation, bool) {
		head := violation(
			"watch",
			"watch %d by client %d of %s from revision %d, opened at %s: ",
			w.ID,
			w.Client,
			w.Scope,
			w.Start,
			clock(w.Call),
		)
		v := violation("watch", format, args...)
		v.Text = head.Text + v.Text
		return v, false
	}
	start := w.Start
	steps := w.Steps
	if start == 0 {
		if len(steps) == 0 {
			if w.Last {
				return fail("it was never confirmed")
			}
			return Violation{}, true
		}
		if !steps[0].Created && steps[0].Err == "" {
			return fail("its first response is not the confirmation")
		}
		start = steps[0].Rev + 1
	}
	if start < truth.First {
		start = truth.First // nothing was there before
	}
	want := truth.From(start, w.Scope)
	position := start // all events below have been delivered
	for _, s := range steps {
		for i, e := range s.Events {
			r.Events++
			if len(want) == 0 {
				return fail(
					"at %s it delivered %s, which nobody committed or it had delivered before",
					clock(s.At),
					event(e.Event),
				)
			}
			next := want[0]
			if e.Key != next.Key || e.Rev != next.Rev || e.Delete != next.Delete || e.Value != next.Value {
				return fail("at %s it delivered %s, where %s is next", clock(s.At), event(e.Event), event(next))
			}
			if i == 0 && e.Rev < position && !w.Fragments {
				return fail(
					"at %s it delivered %s apart from the other events of its revision",
					clock(s.At),
					event(e.Event),
				)
			}
			if e.Prev != nil {
				r.Prevs++
				old, ok := at(versions[e.Key], e.Rev-1)
				if !ok || old.Value != e.Prev.Value || old.Rev != e.Prev.ModRev {
					return fail(
						"at %s it delivered %s with the previous value %q @%d, but that was %s",
						clock(s.At),
						event(e.Event),
						e.Prev.Value,
						e.Prev.ModRev,
						event(old),
					)
				}
			}
			if old, ok := at(versions[e.Key], e.Rev-1); ok && e.Prev == nil && !w.NoPrev &&
				!slices.ContainsFunc(compactions, func(c history.Compaction) bool {
					return c.Rev >= e.Rev && c.At <= s.At
				}) {
				return fail(
					"at %s it delivered %s without the previous value, which is %s",
					clock(s.At),
					event(e.Event),
					event(old),
				)
			}
			want, position = want[1:], max(position, e.Rev+1)
		}
		if s.Progress {
			if len(want) > 0 && want[0].Rev <= s.Rev {
				return fail(
					"at %s it claimed to have reached revision %d without having delivered %s",
					clock(s.At),
					s.Rev,
					event(want[0]),
				)
			}
			position = max(position, s.Rev+1)
		}
		if s.Err == "" {
			continue
		}
		switch {
		case s.CompactRev == 0:
			return fail("at %s it ended by itself: %s", clock(s.At), s.Err)
		case !slices.ContainsFunc(compactions, func(c history.Compaction) bool { return c.Rev == s.CompactRev }):
			return fail(
				"at %s it ended because of a compaction at %d, which nobody asked for",
				clock(s.At),
				s.CompactRev,
			)
		case s.CompactRev <= position:
			return fail(
				"at %s it ended because of a compaction at %d, but it needed nothing below %d",
				clock(s.At),
				s.CompactRev,
				position,
			)
		}
		r.Compacted++
		for _, e := range want {
			if e.Rev < s.CompactRev {
				r.Skipped++
			}
		}
		return Violation{}, true
	}
	if !w.Last {
		if w.Cancelled == 0 {
			return fail("its channel was closed without a reason")
		}
		return Violation{}, true
	}
	missing := 0
	for missing < len(want) && want[missing].Rev <= final {
		missing++
	}
	if missing > 0 {
		return fail("%d events up to the final revision %d are missing, the first: %s", missing, final, event(want[0]))
	}
	return Violation{}, true
}
