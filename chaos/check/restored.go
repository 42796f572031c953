package check

import (
	"github.com/fairlead-go/fairlead/chaos/history"
)

// RestoredReport counts what a restore from a backup took from clients.
type RestoredReport struct {
	Forgotten int // revisions
	Watches   int // that reported lost history
	Leases    int // that the backup did not have
	Holds     int // of locks and leaderships that it did not have
}

// Restored checks what must hold across a restore from a backup. The other checkers judge each of
// the two histories by itself.
//
//   - no write that was executed, or whose call had ended, before the restore is executed after
//     it;
//   - a watch from before does not go on in a cluster of another id: it reports that history is
//     lost;
//   - views show the restored cluster within Within of its settling, while a member is well;
//   - the holder of a lease or the owner of a key that the backup does not have learns of it
//     within Within, while a member is well.
func Restored(h *history.History) (RestoredReport, []Violation) {
	s := h.Restore
	r := RestoredReport{Forgotten: int(s.Lost.Last - s.Kept)}
	var bad []Violation
	old, _ := writtenBy(&s.Lost)
	now, _ := writtenBy(&h.Truth)
	for i := range h.Ops {
		o := &h.Ops[i]
		if !o.Kind.Writes() || o.Call >= s.At || now.rev(o) <= s.Kept {
			continue
		}
		if was := old.rev(o); was != 0 {
			bad = append(
				bad,
				violation(
					"restored",
					"executed at revision %d, and at %d of the restored cluster again: %s",
					was,
					now.rev(o),
					describe(o),
				),
			)
		} else if o.Return < s.Back {
			bad = append(bad, violation("restored",
				"executed at revision %d of the restored cluster, after it had returned: %s", now.rev(o), describe(o)))
		}
	}
	for i := range h.Watches {
		w := &h.Watches[i]
		if w.Call >= s.At || w.End() < s.At {
			continue
		}
		if w.Lost() {
			r.Watches++
		} else if n := len(w.Steps); s.Renamed && n > 0 && w.Steps[0].At < s.At && w.Steps[n-1].At > s.Back &&
			w.Steps[n-1].Err == "" {
			bad = append(bad, violation("restored",
				"watch %d by client %d of %s, opened at %s, goes on at %s in a cluster of another id",
				w.ID, w.Client, w.Scope, clock(w.Call), clock(w.Steps[n-1].At)))
		}
	}
	if len(h.Views) > 0 {
		until := h.End
		if i := h.Renewed(); i < len(h.Views) {
			until = h.Views[i].At
		}
		if m, late := overdue(s.Settled, until, h); late {
			bad = append(bad,
				violation("restored", "views showed the lost history until %s, though m%d was well", clock(until), m))
		}
	}
	byKey := h.Truth.ByKey()
	for i := range h.Leases {
		l := &h.Leases[i]
		if l.Granted < s.Backup || l.Granted >= s.At || l.End() < s.At || len(byKey[l.Key]) > 0 {
			continue
		}
		r.Leases++
		if m, late := overdue(s.Settled, l.End(), h); late {
			bad = append(
				bad,
				violation(
					"restored",
					"lease %x of client %d (%s, TTL %v), granted at %s, was not in the backup, and its holder did "+
						"not notice until %s, though m%d was well",
					l.ID,
					l.Client,
					l.Key,
					l.TTL,
					clock(l.Granted),
					clock(l.End()),
					m,
				),
			)
		}
	}
	for _, o := range h.Holds {
		if !h.Forgotten(o) {
			continue
		}
		r.Holds++
		if m, late := overdue(s.Settled, o.Ended, h); late {
			bad = append(
				bad,
				violation(
					"restored",
					"%s was not in the backup, and its owner did not know, though m%d was well",
					hold(o),
					m,
				),
			)
		}
	}
	return r, bad
}
