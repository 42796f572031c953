package main

import (
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/chaos/check"
	"github.com/fairlead-go/fairlead/chaos/history"
)

// judged is what the checkers of one history counted.
type judged struct {
	watch check.WatchReport
	lease check.LeaseReport
	owner check.OwnerReport
	live  check.LiveReport
	copy  check.CopyReport
	view  check.ViewReport
}

// judge runs the checkers. A restore from a backup makes two histories, and each has to hold by
// itself.
func (r *result) judge() {
	h := &r.history
	now := h
	if h.Restore != nil {
		before, after := h.Eras()
		r.judged.plus(r.era(&before, false))
		now = &after
		var v []check.Violation
		r.restored, v = check.Restored(h)
		r.violations = append(r.violations, v...)
	}
	r.judged.plus(r.era(now, true))
	var v []check.Violation
	r.deadline, v = check.Deadlines(h.Ops, h.Lateness)
	r.violations = append(r.violations, v...)
}

// lastOf returns the revision of the last event of a key; 0: there was none.
func lastOf(key string, truth *history.Truth) int64 {
	list := truth.ByKey()[key]
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].Rev
}

// era judges one history; last means that it goes on to the end of the run.
func (r *result) era(h *history.History, last bool) (j judged) {
	add := func(v []check.Violation) { r.violations = append(r.violations, v...) }
	add(check.Whole(&h.Truth))
	// The puts of owners, instances and the mirror are judged separately: their values are not
	// unique.
	calls := h.Truth
	calls.Events = slices.DeleteFunc(slices.Clone(calls.Events), func(e history.Event) bool {
		return history.Covers(ownerScope, e.Key) || history.Covers(serviceScope, e.Key) ||
			history.Covers(copyScope, e.Key) ||
			e.Key == copyMark
	})
	add(check.Order(h.Ops, &calls))
	add(check.Linear(h.Ops, &calls, kvScope, h.End, linearLimit))
	var v []check.Violation
	j.watch, v = check.Watches(h.Watches, &h.Truth, h.Final, h.Compactions)
	add(v)
	j.lease, v = check.Leases(h.Leases, &h.Truth, h.Probes, h.Touches, h.Meddlings, h.Lateness)
	add(v)
	j.owner, v = check.Owners(h.Holds, &h.Truth, h.Touches, h.Meddlings, h.Lateness, counterKey, h.End)
	add(v)
	j.live, v = check.Live(h, func(scope string) string { return ownerScope + scope + "/" })
	add(v)
	var final int64
	if last {
		final = lastOf(kvScope+"end", &h.Truth)
	}
	j.copy, v = check.Copies(&h.Truth, kvScope, copyScope, final)
	add(v)
	var became *bool
	if last {
		became = &r.settled
	}
	j.view, v = check.Views(
		h.Views,
		&h.Truth,
		serviceScope,
		became,
		func(key, value string) (string, error) { return meaning(key, []byte(value)) },
	)
	add(v)
	if !last {
		return j
	}
	var called []history.Op // by the workers
	for _, o := range h.Ops {
		if o.Client <= workers {
			called = append(called, o)
		}
	}
	add(check.Recovered(called, r.healed))
	add(check.Free(&h.Truth, ownerScope, func(key string) bool {
		return slices.ContainsFunc(contests, func(scope string) bool { return key == counterKey(scope) })
	}))
	return j
}

// plus adds the counts of a later history.
func (j *judged) plus(o judged) {
	for _, n := range []struct {
		to   *int
		more int
	}{
		{&j.watch.Events, o.watch.Events}, {&j.watch.Prevs, o.watch.Prevs}, {&j.watch.Compacted, o.watch.Compacted},
		{&j.watch.Skipped, o.watch.Skipped},
		{&j.lease.Lost, o.lease.Lost}, {&j.lease.Excused, o.lease.Excused}, {&j.lease.Revoked, o.lease.Revoked},
		{&j.lease.Early, o.lease.Early},
		{&j.owner.Holds, o.owner.Holds}, {&j.owner.Lost, o.owner.Lost}, {&j.owner.Meddled, o.owner.Meddled},
		{&j.owner.Counted, o.owner.Counted}, {&j.owner.Early, o.owner.Early},
		{&j.live.Waits, o.live.Waits}, {&j.live.Events, o.live.Events}, {&j.live.News, o.live.News},
		{&j.copy.Changes, o.copy.Changes}, {&j.view.Views, o.view.Views}, {&j.view.Held, o.view.Held},
	} {
		*n.to += n.more
	}
	if j.lease.Expired == 0 || o.lease.Expired > 0 && o.lease.Margin < j.lease.Margin {
		j.lease.Margin = o.lease.Margin
	}
	j.lease.Expired += o.lease.Expired
	if j.owner.Lag == 0 { // there was none before
		j.owner.Lag = o.owner.Lag
	}
	for _, d := range []struct {
		to   *time.Duration
		more time.Duration
	}{
		{&j.owner.Lag, o.owner.Lag}, {&j.live.Wait, o.live.Wait}, {&j.live.Delay, o.live.Delay},
		{&j.live.Left, o.live.Left}, {&j.live.Late, o.live.Late},
	} {
		*d.to = max(*d.to, d.more)
	}
	j.copy.Keys, j.view.Shown = max(j.copy.Keys, o.copy.Keys), o.view.Shown
}
