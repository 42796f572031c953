package history

import (
	"slices"
	"time"
)

// Restore is the return of the whole cluster to a backup.
type Restore struct {
	Backup time.Duration // when the backup was complete
	At     time.Duration // clients had been cut off then
	Back   time.Duration // and let in again then
	// Settled is when all members were well, and clients had had time to notice that their tokens
	// are of another history: etcd does not answer calls with those.
	Settled time.Duration
	Kept    int64 // the backup's revision
	// Lost is what was committed before, with what was forgotten: all after Kept. The history's
	// own truth is that of the restored cluster, which begins with the same up to Kept.
	Lost    Truth
	Renamed bool // the cluster has another id
}

// speak is how long after it settled a watch may say nothing before it counts as one that goes on.
const speak = 5 * time.Second

// Eras gives what was before the restore and what came after it as two histories, each of which is
// to hold for itself: to the second belongs what the backup kept. In neither are reads that were
// under way meanwhile, since nobody knows which cluster has answered them, and later ones that may
// be old, which a copy of before may answer.
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
			e.Seen = r.Back // it is there anew
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

// Renewed is the index of the first view that shows the restored cluster: until then the last one
// from before is shown, as what is known.
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
			second = false
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

// marks is the revision of each value of each key.
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
			after.Watches = append(after.Watches, w) // it goes on, so all that it has delivered must be there
		default:
			w.Last = false
			before.Watches = append(before.Watches, w)
		}
	}
}

// Lost reports whether the watch ended because the cluster has lost history.
func (w *Watch) Lost() bool { return len(w.Steps) > 0 && w.Steps[len(w.Steps)-1].Lost }

// noticed reports whether the watch ended with the restore: its consumer knows that it has to list
// again. A restored cluster that has compacted what would tell it apart says only that.
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

// End is when the watch ended, whoever ended it.
func (w *Watch) End() time.Duration {
	if n := len(w.Steps); n > 0 && w.Steps[n-1].Err != "" {
		return w.Steps[n-1].At
	}
	return w.Cancelled
}

// splitOwned divides what is held with keys.
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
		// A session that gave up before the servers were back has owned nothing in what came after:
		// another one may be first there whose release is forgotten.
		if o.Acquired >= r.Back || o.Ended >= r.Back && o.Fence <= r.Kept && r.kept(now[o.Key]) {
			after.Holds = append(after.Holds, o)
			continue
		}
		o.Outlived = o.Outlived && o.Ended < r.At // nobody deleted it, it is forgotten
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
