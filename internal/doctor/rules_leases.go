package doctor

import (
	"fmt"
	"time"
)

const (
	stampedeLeases = 100
	stampedeWindow = time.Second
	lateShare      = 0.34 // of the TTL left: three renewals in a TTL would have come before
	lateLeases     = 10
)

// stampede: leases that end together, and leases that are not renewed.
func stampede(f *Facts) (list []Finding) {
	if f.LeaseErr != nil {
		return nil // unseen reports that
	}
	ends := make(map[int64][]Lease)
	late, keys, first := 0, 0, int64(0)
	for _, l := range f.Leases {
		if l.TTL <= 0 {
			continue
		}
		ends[int64(l.Left/stampedeWindow)] = append(ends[int64(l.Left/stampedeWindow)], l)
		if float64(l.Left) < lateShare*float64(l.TTL) {
			if late == 0 {
				first = l.ID
			}
			late++
			keys += l.Keys
		}
	}
	scale := 1.0
	if len(f.Leases) > 0 {
		scale = float64(f.AllLeases) / float64(len(f.Leases))
	}
	of := ""
	if scale > 1 {
		of = fmt.Sprintf(" (from a sample of %d of %d)", len(f.Leases), f.AllLeases)
	}
	if late >= lateLeases {
		list = append(list, warning(
			"late-leases",
			"see whether the owners of their keys live",
			"about %.0f leases with %.0f keys were not renewed for two thirds of their time%s",
			float64(late)*scale,
			float64(keys)*scale,
			of,
		).
			run(fmt.Sprintf("lease timetolive %x --keys", first)))
	}
	var worst []Lease
	for _, g := range ends {
		if len(g) > len(worst) || len(g) == len(worst) && len(g) > 0 && g[0].Left < worst[0].Left {
			worst = g
		}
	}
	if n := float64(len(worst)) * scale; n >= stampedeLeases && float64(len(worst)) > 0.3*float64(len(f.Leases)) {
		attached := 0
		for _, l := range worst {
			attached += l.Keys
		}
		list = append(
			list,
			warning(
				"stampede",
				"spread when they are granted and renewed: clients that start together should wait a random time first",
				"about %.0f leases with %.0f keys end within the same second%s unless they are renewed",
				n,
				float64(attached)*scale,
				of,
			).
				run(fmt.Sprintf("lease timetolive %x --keys", worst[0].ID)),
		)
	}
	return list
}

const longHistory = 1_000_000

func history(f *Facts) []Finding {
	if f.Revision > longHistory && !f.Compacted {
		return []Finding{warning("no-compaction", "set --auto-compaction-retention (1h is usual), or compact by hand",
			"the history was never compacted: all %d revisions are kept", f.Revision).run(f.compaction())}
	}
	return nil
}
