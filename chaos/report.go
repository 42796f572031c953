package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
	"github.com/fairlead-go/fairlead/chaos/schedule"
)

// print writes counts and worst delays.
func (r *result) print(out io.Writer) {
	h := &r.history
	fmt.Fprintf(out, "\nfaults:")
	for _, k := range slices.Sorted(maps.Keys(r.struck)) {
		fmt.Fprintf(out, " %s %d,", k, r.struck[k])
	}
	fmt.Fprintf(out, " not carried out:%s\n\n", counts(r.refused))
	fmt.Fprintf(out, "%-14s %7s %7s %7s %10s %10s %10s\n", "calls", "ok", "failed", "unknown", "p50", "p99", "worst ok")
	type row struct {
		n    map[history.Outcome]int
		took []time.Duration
	}
	rows := make(map[string]*row)
	after := 0
	for i := range h.Ops {
		o := &h.Ops[i]
		name := string(o.Kind)
		switch {
		case o.Serializable:
			name += " (old)"
		case o.Client > workers:
			name += " (lease)"
		}
		w := rows[name]
		if w == nil {
			w = &row{n: make(map[history.Outcome]int)}
			rows[name] = w
		}
		w.n[o.Outcome]++
		if o.Outcome == history.OK {
			w.took = append(w.took, o.Return-o.Call)
		} else if o.Call > r.healed {
			after++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		w := rows[name]
		fmt.Fprintf(
			out,
			"%-14s %7d %7d %7d %s\n",
			name,
			w.n[history.OK],
			w.n[history.Failed],
			w.n[history.Unknown],
			quantiles(w.took),
		)
	}
	fmt.Fprintf(out, "\nnot ok after the last healing: %d (one call in forty is cancelled within 10 ms)\n", after)
	fmt.Fprintf(out, "beyond the context: worst %s, %d above 100 ms, %d of them not explained by late timers\n",
		short(r.deadline.Worst), r.deadline.Over, r.deadline.Ours)
	delays := r.watchDelays()
	fmt.Fprintf(
		out,
		"watches: %d, events delivered %d, delay p50, p99, worst: %s; ended by compaction %d, which kept %d events "+
			"from them\n",
		len(h.Watches),
		r.watch.Events,
		quantiles(delays),
		r.watch.Compacted,
		r.watch.Skipped,
	)
	renewals := 0
	for _, l := range h.Leases {
		renewals += l.Renewals
	}
	fmt.Fprintf(
		out,
		"leases: %d, renewals %d, grants failed %d, lost %d (not renewable: %d), expired under a holder %d, ended by "+
			"the server against its word %d",
		len(h.Leases),
		renewals,
		r.failedGrants,
		r.lease.Lost,
		r.lease.Excused,
		r.lease.Expired,
		r.lease.Early,
	)
	if r.lease.Expired > 0 {
		fmt.Fprintf(out, ", noticed at least %s before the deletion was seen", short(r.lease.Margin))
	}
	fmt.Fprintf(
		out,
		"\nlocks and leaderships: %d, not got %d, lost %d (by the server against its word %d), guarded writes %d; "+
			"loss known at least %s before the next owner",
		r.owner.Holds,
		r.failedOwners,
		r.owner.Lost,
		r.owner.Early,
		r.owner.Counted,
		short(-r.owner.Lag),
	)
	fmt.Fprintf(
		out,
		"\nliveness: %d waits of the first in line, worst %s; worst delay of %d events %s; %d owners whose key was "+
			"gone, worst %s until they knew; keys unwanted for up to %s; meddled with: %d holds, %d leases",
		r.live.Waits,
		short(r.live.Wait),
		r.live.Events,
		short(r.live.Delay),
		r.live.News,
		short(r.live.Late),
		short(r.live.Left),
		r.owner.Meddled,
		r.lease.Revoked,
	)
	fmt.Fprintf(out, "\nclients closed: %d, worst %s\n", len(r.closes), short(slices.Max(append(r.closes, 0))))
	fmt.Fprintf(out, "reads answered from a cache's copy: %d; a mirror of %d keys: %d changes, compared %d times\n",
		r.copied, r.copy.Keys, r.copy.Changes, r.comparisons)
	fmt.Fprintf(out, "a service of %d instances: %d updates, %d views, in which %d that were gone were still shown\n",
		r.view.Shown, r.updates, r.view.Views, r.view.Held)
	if b := h.Restore; b != nil {
		fmt.Fprintf(
			out,
			"restored at %s to revision %d, back after %s, another id: %v; forgotten: %d revisions, %d leases, %d "+
				"ownerships; watches notified: %d\n",
			short(
				b.At,
			),
			b.Kept,
			short(b.Back-b.At),
			b.Renamed,
			r.restored.Forgotten,
			r.restored.Leases,
			r.restored.Holds,
			r.restored.Watches,
		)
	}
	fmt.Fprintf(out, "committed: %d revisions, %d events; timers late by up to %s; checked in %s\n",
		h.Truth.Last-h.Truth.First+1, len(h.Truth.Events), short(h.Lateness.Max(0, h.End)), short(r.checking))
}

func counts[K cmp.Ordered](m map[K]int) string {
	s := ""
	for _, k := range slices.Sorted(maps.Keys(m)) {
		s += fmt.Sprintf(" %v %d", k, m[k])
	}
	if s == "" {
		return " none"
	}
	return s
}

func quantiles(d []time.Duration) string {
	if len(d) == 0 {
		return fmt.Sprintf("%10s %10s %10s", "-", "-", "-")
	}
	slices.Sort(d)
	at := func(q float64) string { return short(d[int(q*float64(len(d)-1))]) }
	return fmt.Sprintf("%10s %10s %10s", at(0.5), at(0.99), at(1))
}

func short(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }

// watchDelays returns the time from the first sight of each event to its delivery by each watch.
// It leaves out events that were committed before the watch was opened, and consumers that are
// slow on purpose.
func (r *result) watchDelays() []time.Duration {
	seen := make(map[int64]time.Duration)
	for _, e := range r.history.Truth.Events {
		seen[e.Rev] = e.Seen
	}
	var list []time.Duration
	for _, w := range r.history.Watches {
		if w.Slow {
			continue
		}
		for _, s := range w.Steps {
			for _, e := range s.Events {
				if at := seen[e.Rev]; w.Return > 0 && at > w.Return {
					list = append(list, max(0, s.At-at))
				}
			}
		}
	}
	return list
}

// line is one entry of the timeline.
type line struct {
	At   time.Duration
	What string
	Data any
}

// timeline writes the whole history ordered by time, one JSON object per line. Times are in
// nanoseconds.
func (r *result) timeline(file string, faults []schedule.Fault) (err error) {
	h := &r.history
	var lines []line
	add := func(at time.Duration, what string, data any) { lines = append(lines, line{at, what, data}) }
	for _, v := range r.violations {
		add(-1, "violation", v)
	}
	for _, f := range faults {
		add(f.At, "planned", f)
	}
	for _, t := range h.Touches {
		add(t.From, "fault", t)
	}
	for _, o := range h.Ops {
		add(o.Call, "call", o)
	}
	for _, l := range h.Leases {
		add(l.Granted, "lease", l)
	}
	for _, o := range h.Holds {
		add(o.Acquired, "owned", o)
	}
	if h.Restore != nil {
		for _, e := range h.Restore.Lost.Events {
			add(e.Seen, "committed before the restore", e)
		}
	}
	for _, e := range h.Truth.Events {
		if h.Restore == nil || e.Rev > h.Restore.Kept {
			add(e.Seen, "committed", e)
		}
	}
	for _, e := range r.diary {
		add(e.At, "client", e)
	}
	for _, p := range h.Probes {
		if !p.OK {
			add(p.Call, "no answer", p)
		}
	}
	for _, w := range h.Watches {
		steps := w.Steps
		w.Steps = nil
		add(w.Call, "watch", w)
		for _, s := range steps {
			add(s.At, fmt.Sprintf("watch %d", w.ID), s)
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.At, b.At) })
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := bufio.NewWriter(f)
	enc := json.NewEncoder(b)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return b.Flush()
}
