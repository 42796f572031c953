package check

// Liveness: what must come within a stated time, provided that one member is well all the while.

import (
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// Within is how long the first in line may wait for the lock, an event for its delivery, and an
// owner for the news that its key was deleted, while a member is well. A stream on another one,
// which is silent, is found out within some two seconds, and its work begins anew elsewhere.
const Within = 5 * time.Second

// unmeasured is how late timers of this process may be: beyond it the machine stood still, and
// nothing is concluded.
const unmeasured = time.Second

// well reports whether one member was untouched from one time to another and answered an
// independent client (linearizable reads, and renewals of a lease that does not exist) without a
// pause longer than gap.
func well(from, to, gap time.Duration, probes []history.Probe, touches []history.Touch) (member int, ok bool) {
	touched := make(map[int]bool)
	for _, t := range touches {
		if t.From < to && t.To > from {
			touched[t.Member] = true
		}
	}
	// last is, per member, when the last good answer before the present one was asked
	// for; a member's probes are ordered by time.
	last := make(map[int]time.Duration)
	worst := make(map[int]time.Duration)
	for _, p := range probes {
		if !p.OK || p.Return < from || p.Call > to {
			continue
		}
		since, ok := last[p.Member]
		if !ok {
			since = from
		}
		worst[p.Member] = max(worst[p.Member], p.Return-since)
		last[p.Member] = max(p.Call, from)
	}
	for m, g := range worst {
		if !touched[m] && max(g, to-last[m]) <= gap {
			return m, true
		}
	}
	return 0, false
}

// wellGap is the longest silence of a member that is well, for what must come within Within.
const wellGap = time.Second

// overdue reports whether something was late that became possible at due and happened at done.
func overdue(due, done time.Duration, h *history.History) (member int, late bool) {
	if done-due <= Within || h.Lateness.Max(due, due+Within) > unmeasured {
		return 0, false
	}
	return well(due, due+Within, wellGap, h.Probes, h.Touches)
}

// LiveReport counts what was judged.
type LiveReport struct {
	Waits  int           // of those first in line
	Wait   time.Duration // the longest
	Events int
	Delay  time.Duration // the longest of an event, excused or not
	Left   time.Duration // the longest that an unwanted key stayed
	News   int           // owners whose key an operator deleted
	Late   time.Duration // the longest that one of these did not know it
}

// stay is the time during which a key was in line.
type stay struct {
	key       string
	rev       int64 // of the put
	from, end time.Duration
}

const never = 1 << 62

// Live checks that, while a member is well,
//
//   - the first in line for a lock or leadership gets it within Within;
//   - an event is delivered within Within to every watch of it whose consumer is not slow;
//   - an owner learns within Within that its key was deleted;
//   - a key is gone within Within after its call failed or its owner released it.
//
// [Leases] checks that leases are renewed in that time.
func Live(h *history.History, line func(scope string) string) (r LiveReport, bad []Violation) {
	scopes := make(map[string][]stay)
	for i := range h.Attempts {
		a := &h.Attempts[i]
		if scopes[a.Scope] == nil {
			scopes[a.Scope] = stays(&h.Truth, line(a.Scope))
		}
		bad = append(bad, waited(a, scopes[a.Scope], h, &r)...)
	}
	for _, line := range scopes {
		for _, s := range line {
			bad = append(bad, left(s, h, &r)...)
		}
	}
	for i := range h.Watches {
		if w := &h.Watches[i]; !w.Slow {
			bad = append(bad, spoke(w, h, &r)...)
		}
	}
	byKey := h.Truth.ByKey()
	for _, o := range h.Holds {
		gone, ok := goneAfter(byKey[o.Key], o.Fence)
		if !ok || gone.Seen >= o.Ended {
			continue
		}
		r.News++
		r.Late = max(r.Late, o.Ended-gone.Seen)
		if m, late := overdue(gone.Seen, o.Ended, h); late {
			bad = append(
				bad,
				violation(
					"live",
					"%s: its key was deleted at revision %d, seen at %s, and it did not know for %v, though m%d was "+
						"well",
					hold(o),
					gone.Rev,
					clock(gone.Seen),
					o.Ended-gone.Seen,
					m,
				),
			)
		}
	}
	return r, bad
}

// stays returns the keys of a line in their order.
func stays(truth *history.Truth, prefix string) (list []stay) {
	open := make(map[string]int)
	for _, e := range truth.From(0, prefix) {
		i, there := open[e.Key]
		switch {
		case e.Delete && there:
			list[i].end = e.Seen
			delete(open, e.Key)
		case !e.Delete && !there:
			open[e.Key] = len(list)
			list = append(list, stay{key: e.Key, rev: e.Rev, from: e.Seen, end: never})
		}
	}
	return list
}

// waited judges one attempt.
func waited(a *history.Attempt, line []stay, h *history.History, r *LiveReport) (bad []Violation) {
	ahead := time.Duration(0) // when the last of those ahead left the line
	for _, s := range line {
		if s.key == a.Key && s.end > a.Call && s.from < a.Return {
			due, done := max(a.Call, s.from, ahead), min(a.Return, s.end)
			if due < done {
				r.Waits++
				r.Wait = max(r.Wait, done-due)
				if m, late := overdue(due, done, h); late {
					bad = append(
						bad,
						violation(
							"live",
							"client %d was the first in line for the %s (%s, revision %d) from %s and had not got it "+
								"at %s, though m%d was well",
							a.Client,
							a.Scope,
							a.Key,
							s.rev,
							clock(due),
							clock(done),
							m,
						),
					)
				}
			}
		}
		ahead = max(ahead, s.end)
	}
	return bad
}

// left judges how long a key stayed without being wanted. The attempts of one key are in order.
func left(s stay, h *history.History, r *LiveReport) (bad []Violation) {
	since := s.from
	idle := func(until time.Duration) {
		until = min(until, s.end)
		if until <= since {
			return
		}
		r.Left = max(r.Left, until-since)
		if m, late := overdue(since, until, h); late {
			bad = append(
				bad,
				violation("live", "%s (revision %d) was there from %s to %s, and nobody wanted it, though m%d was well",
					s.key, s.rev, clock(since), clock(until), m),
			)
		}
	}
	for _, a := range h.Attempts {
		if a.Key == s.key && a.End > s.from {
			idle(a.Call)
			since = max(since, a.End)
		}
	}
	idle(h.End)
	return bad
}

// spoke judges the delays of one watch.
func spoke(w *history.Watch, h *history.History, r *LiveReport) []Violation {
	fail := func(due, done time.Duration, m int, what string) []Violation {
		return []Violation{
			violation(
				"live",
				"watch %d by client %d of %s from revision %d, opened at %s: %s was due at %s and had not come at %s, "+
					"though m%d was well",
				w.ID,
				w.Client,
				w.Scope,
				w.Start,
				clock(w.Call),
				what,
				clock(due),
				clock(done),
				m,
			),
		}
	}
	end := w.Cancelled
	var got []time.Duration // when each event came
	for _, s := range w.Steps {
		for range s.Events {
			got = append(got, s.At)
		}
		if s.Err != "" {
			end = s.At
		}
	}
	start := w.Start
	if start == 0 {
		if len(w.Steps) == 0 {
			if m, late := overdue(w.Call, end, h); late {
				return fail(w.Call, end, m, "its confirmation")
			}
			return nil
		}
		start = w.Steps[0].Rev + 1
	}
	want := h.Truth.From(max(start, h.Truth.First), w.Scope)
	if i := slices.IndexFunc(want, func(e history.Event) bool { return end > 0 && e.Seen > end }); i >= 0 {
		want = want[:max(i, min(len(got), len(want)))]
	}
	for i, e := range want {
		due, done := max(e.Seen, w.Call), end
		if i < len(got) {
			done = got[i]
		}
		r.Events++
		r.Delay = max(r.Delay, done-due)
		if m, late := overdue(due, done, h); late {
			return fail(due, done, m, event(e))
		}
	}
	return nil
}

// meddleLate is how long after its request an unanswered operation may still be executed.
const meddleLate = 15 * time.Second

// meddled reports whether an operator deleted the key, or revoked its lease.
func meddled(list []history.Meddling, key string, lease int64, gone history.Event) bool {
	return slices.ContainsFunc(list, func(m history.Meddling) bool {
		return (m.Key == key || m.Lease != 0 && m.Lease == lease) && m.At <= gone.Seen &&
			(m.Rev == gone.Rev || m.Rev == 0 && gone.Seen < m.At+meddleLate)
	})
}
