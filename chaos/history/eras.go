package history

import (
	"slices"
	"time"
)

// Restore is the return of the whole cluster to a backup.
type Restore struct {
	Backup time.Duration // when the backup was complete
	At     time.Duration // by then clients had been cut off
	Back   time.Duration // clients were let in again then
	// Settled is when all members were well and clients had had time to notice that their tokens
	// belong to another history: etcd does not answer calls with such tokens.
	Settled time.Duration
	Kept    int64 // the backup's revision
	// Lost is everything that was committed before the restore, also what is forgotten: all after
	// Kept. History.Truth is that of the restored cluster, which begins with the same events up to
	// Kept.
	Lost    Truth
	Renamed bool // the cluster has another id
}

// speak is how long after Settled a watch may be silent before it counts as one that goes on.
const speak = 5 * time.Second

// Eras divides the history into what was before the restore and what came after. Each part must
// hold by itself. The second part also has what the backup kept. Both leave out reads that were
// under way during the restore, since nobody knows which cluster answered them, and later reads
// that may be old, since a copy from before may answer them.
func (h *History) Eras() (before, after History) {
	r := h.Restore
	before = History{Truth: r.Lost, Touches: h.Touches, Probes: h.Probes, Lateness: h.Lateness, End: r.At}
	after = History{
		Truth:    h.Truth,
		Final:    h.Final,
		Touches:  h.Touches,
		Probes:   h.Probes,
		Lateness: h.Lateness,
		End:      h.End,
	}
	after.Truth.Events = slices.Clone(h.Truth.Events)
	for i := range after.Truth.Events {
		if e := &after.Truth.Events[i]; e.Rev <= r.Kept {
			e.Seen = r.Back // it exists anew
		}
	}
	h.splitOps(&before, &after)
	h.splitWatches(&before, &after)
	h.splitOwned(&before, &after)
	for _, c := range h.Compactions {
		if c.At < r.At {
			before.Compactions = append(before.Compactions, c)
		}
		if c.At >= r.At || c.Rev <= r.Kept {
			after.Compactions = append(after.Compactions, c)
		}
	}
	for _, m := range h.Meddlings {
		if m.At < r.At {
			before.Meddlings = append(before.Meddlings, m)
		}
		if m.At >= r.At || m.Rev != 0 && m.Rev <= r.Kept {
			after.Meddlings = append(after.Meddlings, m)
		}
	}
	first := h.Renewed()
	before.Views, after.Views = h.Views[:first], h.Views[first:]
	return before, after
}

// Renewed is the index of the first view that shows the restored cluster. Until then the follower
// goes on showing the last view from before.
func (h *History) Renewed() int {
	var last View
	for i, v := range h.Views {
		if v.At < h.Restore.Back {
			last = v
		} else if v.Rev != last.Rev || !slices.Equal(v.Shown, last.Shown) {
			return i
		}
	}
	return len(h.Views)
}

func (h *History) splitOps(before, after *History) {
	r := h.Restore
	old, now := r.Lost.marks(), h.Truth.marks()
	for _, o := range h.Ops {
		mark := [2]string{o.Mark(), o.Value}
		was, is := old[mark], now[mark]
		first, second := o.Call < r.At, o.Call >= r.At
		switch {
		case o.Serializable:
			first, second = first && o.Return < r.Back, false
		case second:
		case is != 0 && is <= r.Kept:
			second = true // the backup has it
		case o.Return < r.Back:
		case o.Outcome == Failed:
			second = true // it must be in neither
		case o.Outcome == OK && was == 0 && is == 0:
			first = false // a read
		case is != 0:
			first, second = was != 0, true
		}
		if first {
			before.Ops = append(before.Ops, o)
		}
		if second {
			after.Ops = append(after.Ops, o)
		}
	}
}

// marks returns the revision of each value of each key.
func (t *Truth) marks() map[[2]string]int64 {
	m := make(map[[2]string]int64)
	for _, e := range t.Events {
		if !e.Delete {
			m[[2]string{e.Key, e.Value}] = e.Rev
		}
	}
	return m
}

func (h *History) splitWatches(before, after *History) {
	r := h.Restore
	for _, w := range h.Watches {
		switch {
		case w.Call >= r.At:
			after.Watches = append(after.Watches, w)
		case h.noticed(&w):
			last := len(w.Steps) - 1
			w.Cancelled, w.Last = w.Steps[last].At, false
			w.Steps = w.Steps[:last]
			before.Watches = append(before.Watches, w)
		case w.End() < r.Back:
			w.Last = false
			before.Watches = append(before.Watches, w)
		case w.End() > r.Settled+speak || len(w.Steps) > 0 && w.Steps[len(w.Steps)-1].At > r.Back:
			after.Watches = append(after.Watches, w) // it goes on, so everything it has delivered must be there
		default:
			w.Last = false
			before.Watches = append(before.Watches, w)
		}
	}
}

// Lost reports whether the watch ended because the cluster has lost history.
func (w *Watch) Lost() bool { return len(w.Steps) > 0 && w.Steps[len(w.Steps)-1].Lost }

// noticed reports whether the watch ended with the restore, so that its consumer knows that it has
// to list again. If the restored cluster has compacted the revision that would show the
// difference, the watch reports only the compaction.
func (h *History) noticed(w *Watch) bool {
	if w.Lost() {
		return true
	}
	n := len(w.Steps)
	if n == 0 || w.Steps[n-1].CompactRev == 0 || w.Steps[n-1].At < h.Restore.Back {
		return false
	}
	return n == 1 || w.Steps[n-2].At < h.Restore.Back
}

// End is when the watch ended, for whatever reason.
func (w *Watch) End() time.Duration {
	if n := len(w.Steps); n > 0 && w.Steps[n-1].Err != "" {
		return w.Steps[n-1].At
	}
	return w.Cancelled
}

// splitOwned divides leases, holds and attempts.
func (h *History) splitOwned(before, after *History) {
	r := h.Restore
	old, now := r.Lost.ByKey(), h.Truth.ByKey()
	for _, l := range h.Leases {
		was, is := lastPut(old[l.Key]), lastPut(now[l.Key])
		if l.Granted >= r.At || l.End() >= r.At && (is > r.Kept || r.kept(now[l.Key])) {
			l.PutRev = is
			after.Leases = append(after.Leases, l)
		} else {
			l.PutRev = was
			before.Leases = append(before.Leases, l)
		}
	}
	for _, o := range h.Holds {
		// A session that gave up before the servers were back owned nothing in the second part.
		// There another one may be first whose release is forgotten.
		if o.Acquired >= r.Back || o.Ended >= r.Back && o.Fence <= r.Kept && r.kept(now[o.Key]) {
			after.Holds = append(after.Holds, o)
			continue
		}
		o.Outlived = o.Outlived && o.Ended < r.At // nobody deleted the key, the cluster forgot it
		before.Holds = append(before.Holds, o)
	}
	for _, a := range h.Attempts {
		if a.Call < r.At {
			before.Attempts = append(before.Attempts, a)
		}
		if a.Return >= r.At || a.End >= r.At {
			after.Attempts = append(after.Attempts, a)
		}
	}
}

// End is when the holder knew that the lease was no longer its own.
func (l *Lease) End() time.Duration {
	if l.Released != 0 && (l.Noticed == 0 || l.Released < l.Noticed) {
		return l.Released
	}
	return l.Noticed
}

func lastPut(versions []Event) (rev int64) {
	for _, e := range versions {
		if !e.Delete {
			rev = e.Rev
		}
	}
	return rev
}

// kept reports whether a key is in the backup.
func (r *Restore) kept(versions []Event) (there bool) {
	for _, e := range versions {
		if e.Rev <= r.Kept {
			there = !e.Delete
		}
	}
	return there
}

// Forgotten reports whether an ownership that lasted into the restore was not in the backup.
func (h *History) Forgotten(o Hold) bool {
	r := h.Restore
	return o.Acquired < r.Back && o.Ended >= r.At && (o.Fence > r.Kept || !r.kept(h.Truth.ByKey()[o.Key]))
}
