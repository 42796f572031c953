package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func alarms(f *Facts) (list []Finding) {
	full := f.alarmed(pb.AlarmType_NOSPACE)
	if len(full) > 0 {
		var used []string
		for _, m := range f.Members {
			if _, st := m.status(); st != nil && slices.Contains(full, m.title()) {
				used = append(used,
					fmt.Sprintf("%s: %s of %s", m.title(), size(st.DbSize), size(limit(st.DbSizeQuota))))
			}
		}
		in := ""
		if len(used) > 0 {
			in = " (" + strings.Join(used, "; ") + ")"
		}
		list = append(
			list,
			problem("no-space", "make room, and disarm the alarm; raise --quota-backend-bytes if the data is needed",
				"the database is full, by %s%s", strings.Join(full, ", "), in).
				of(full...).run(f.compaction()).run(f.defrags()...).run("alarm disarm"),
		)
	}
	if bad := f.alarmed(pb.AlarmType_CORRUPT); len(bad) > 0 {
		c := problem(
			"corrupt",
			"see whose data differs from the others', stop that member, and replace it with an empty one",
			"%s found data that differs between members",
			strings.Join(bad, ", "),
		).of(bad...).
			run("endpoint hashkv --cluster")
		for _, m := range f.Members {
			if slices.Contains(bad, m.title()) && len(bad) == 1 {
				c = c.run(m.replacement()...)
			}
		}
		list = append(list, c)
	}
	return list
}

// alarmed returns the members with an alarm.
func (f *Facts) alarmed(kind pb.AlarmType) (names []string) {
	for _, a := range f.Alarms {
		if name := f.nameOf(a.MemberID); a.Alarm == kind && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (f *Facts) compaction() string {
	if f.Revision > 0 {
		return fmt.Sprintf("compaction %d --physical", f.Revision)
	}
	return "compaction REVISION --physical"
}

// defrags returns the commands that defragment members, one after the other and the leader last,
// since a member does not answer meanwhile.
func (f *Facts) defrags(only ...string) (list []string) {
	last := ""
	for _, m := range f.Members {
		a, st := m.status()
		if st == nil || len(only) > 0 && !slices.Contains(only, m.title()) {
			continue
		}
		c := "--endpoints " + word(a.URL, "URL") + " defrag"
		if st.Leader != 0 && st.Leader == m.ID {
			last = c
			continue
		}
		list = append(list, c)
	}
	if last != "" {
		list = append(list, last)
	}
	return list
}

const (
	defaultQuota = 2 << 30 // of servers that do not report their quota
	quotaWarning = 0.8
	worthDefrag  = 256 << 20
)

func limit(quota int64) int64 { return cmp.Or(max(quota, 0), defaultQuota) }

// quota: all members have the same data, so there is one finding, however many are nearly full.
func quota(f *Facts) []Finding {
	if len(f.alarmed(pb.AlarmType_NOSPACE)) > 0 {
		return nil
	}
	var data, file, dataOf, fileOf []string
	for _, m := range f.Members {
		_, st := m.status()
		if st == nil {
			continue
		}
		most := limit(st.DbSizeQuota)
		ofQuota := "of " + size(most)
		if st.DbSizeQuota <= 0 {
			ofQuota += " if it has the default"
		}
		switch {
		case float64(st.DbSizeInUse) >= quotaWarning*float64(most):
			data = append(data, m.title())
			dataOf = append(dataOf, fmt.Sprintf("%s: %s %s", m.title(), size(st.DbSizeInUse), ofQuota))
		case float64(st.DbSize) >= quotaWarning*float64(most):
			file = append(file, m.title())
			fileOf = append(
				fileOf,
				fmt.Sprintf(
					"%s: %s %s, %s unused",
					m.title(),
					size(st.DbSize),
					ofQuota,
					size(st.DbSize-st.DbSizeInUse),
				),
			)
		}
	}
	var list []Finding
	if len(data) > 0 {
		list = append(
			list,
			problem(
				"nearly-full",
				"find what grows, compact, give the space back; raise --quota-backend-bytes if the data is needed",
				"the data nearly fills the quota (%s)",
				strings.Join(dataOf, "; "),
			).
				of(data...).
				run("top", f.compaction()).
				run(f.defrags(data...)...),
		)
	}
	if len(file) > 0 {
		list = append(list, problem("file-nearly-full", "give unused space back, one member at a time",
			"the database file nearly fills the quota (%s)", strings.Join(fileOf, "; ")).
			of(file...).run(f.defrags(file...)...))
	}
	return list
}

// fragments: space in files that nothing uses.
func fragments(f *Facts) []Finding {
	var names, sizes []string
	for _, m := range f.Members {
		_, st := m.status()
		if st == nil || float64(st.DbSize) >= quotaWarning*float64(limit(st.DbSizeQuota)) {
			continue // quota reports it
		}
		if unused := st.DbSize - st.DbSizeInUse; unused >= worthDefrag && unused > st.DbSize/2 {
			names = append(names, m.title())
			sizes = append(sizes, fmt.Sprintf("%s: %s of %s", m.title(), size(unused), size(st.DbSize)))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []Finding{note(
		"fragments",
		"give it back, one member at a time, when there is little traffic",
		"more than half of the database file is unused (%s)",
		strings.Join(sizes, "; "),
	).of(names...).run(f.defrags(names...)...)}
}

func size(n int64) string {
	v, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v < 1024 {
			break
		}
		v, unit = v/1024, u
	}
	return fmt.Sprintf("%.3g %s", v, unit)
}
