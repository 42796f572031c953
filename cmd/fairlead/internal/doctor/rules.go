package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// rules are in the order in which a person would look. Each cause has one finding: a rule says nothing where another one
// has what is behind it.
var rules = []func(*Facts) []Finding{
	availability, addresses, leaders, alarms, quota, fragments, versions, slow, disks, lag, elections, certificates, clocks, stampede, history, count, open,
}

func idText(id uint64) string { return fmt.Sprintf("%x", id) }

func problem(rule, do, what string, args ...any) Finding {
	return Finding{Rule: rule, Severity: Problem, What: fmt.Sprintf(what, args...), Do: do}
}

func warning(rule, do, what string, args ...any) Finding {
	return Finding{Rule: rule, Severity: Warning, What: fmt.Sprintf(what, args...), Do: do}
}

func note(rule, do, what string, args ...any) Finding {
	return Finding{Rule: rule, Severity: Note, What: fmt.Sprintf(what, args...), Do: do}
}

// of says which members a finding is about.
func (f Finding) of(members ...string) Finding {
	f.Members = members
	return f
}

// run adds commands of the program that help.
func (f Finding) run(commands ...string) Finding {
	f.Run = append(f.Run, commands...)
	return f
}

// word is what a member says of itself, as a word of a command line that somebody will copy into a shell, or what stands for one
// that has more in it than a name or an address needs.
func word(name, otherwise string) string {
	harmless := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.:/,[]", r)
	}
	if name == "" || name[0] == '-' || strings.ContainsFunc(name, func(r rune) bool { return !harmless(r) }) {
		return otherwise
	}
	if strings.ContainsAny(name, "[]") {
		return "'" + name + "'" // shells take brackets for patterns
	}
	return name
}

func titles(members []*Member) (list []string) {
	for _, m := range members {
		list = append(list, m.title())
	}
	return list
}

// short is a period as people say it.
func short(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// period says what the members' counts are about.
func (f *Facts) period() string {
	if f.Period == 0 {
		return "since it started"
	}
	return "in the last " + short(f.Period)
}

func (f *Facts) nameOf(id uint64) string {
	for _, m := range f.Members {
		if m.ID == id {
			return m.title()
		}
	}
	return idText(id)
}

func alarms(f *Facts) (list []Finding) {
	full := f.alarmed(pb.AlarmType_NOSPACE)
	if len(full) > 0 {
		var used []string
		for _, m := range f.Members {
			if _, st := m.status(); st != nil && slices.Contains(full, m.title()) {
				used = append(used, fmt.Sprintf("%s: %s of %s", m.title(), size(st.DbSize), size(limit(st.DbSizeQuota))))
			}
		}
		in := ""
		if len(used) > 0 {
			in = " (" + strings.Join(used, "; ") + ")"
		}
		list = append(list, problem("no-space", "make room, and disarm the alarm; raise --quota-backend-bytes if the data is needed",
			"the database is full, by %s: all writes but deletions are refused%s", strings.Join(full, ", "), in).
			of(full...).run(f.compaction()).run(f.defrags()...).run("alarm disarm"))
	}
	if bad := f.alarmed(pb.AlarmType_CORRUPT); len(bad) > 0 {
		c := problem("corrupt", "see whose data differs from the others', stop that member, and replace it with an empty one",
			"%s found data that differs between members", strings.Join(bad, ", ")).of(bad...).run("endpoint hashkv --cluster")
		for _, m := range f.Members {
			if slices.Contains(bad, m.title()) && len(bad) == 1 {
				c = c.run(m.replacement()...)
			}
		}
		list = append(list, c)
	}
	return list
}

// alarmed are the members with an alarm.
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

// defrags are the commands that defragment members, one after the other, the leader last: it is away as long as it takes.
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
	defaultQuota = 2 << 30 // of servers that do not say
	quotaWarning = 0.8
	worthDefrag  = 256 << 20
)

func limit(quota int64) int64 { return cmp.Or(max(quota, 0), defaultQuota) }

// quota: all members have the same data, so it is one cause however many are nearly full.
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
			fileOf = append(fileOf, fmt.Sprintf("%s: %s %s, %s unused", m.title(), size(st.DbSize), ofQuota, size(st.DbSize-st.DbSizeInUse)))
		}
	}
	var list []Finding
	if len(data) > 0 {
		list = append(list, problem("nearly-full", "find what grows, compact, give the space back; raise --quota-backend-bytes if the data is needed",
			"the data nearly fills the quota (%s); beyond it writes are refused", strings.Join(dataOf, "; ")).
			of(data...).run("top", f.compaction()).run(f.defrags(data...)...))
	}
	if len(file) > 0 {
		list = append(list, problem("file-nearly-full", "give unused space back, one member at a time",
			"the database file nearly fills the quota (%s); beyond it writes are refused", strings.Join(fileOf, "; ")).
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
			continue // quota has it
		}
		if unused := st.DbSize - st.DbSizeInUse; unused >= worthDefrag && unused > st.DbSize/2 {
			names = append(names, m.title())
			sizes = append(sizes, fmt.Sprintf("%s: %s of %s", m.title(), size(unused), size(st.DbSize)))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []Finding{note("fragments", "give it back, one member at a time, when there is little traffic",
		"more than half of the database file is unused (%s)", strings.Join(sizes, "; ")).of(names...).run(f.defrags(names...)...)}
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

func versions(f *Facts) (list []Finding) {
	minors := make(map[string][]string)
	var lossy, old, target []string
	for _, m := range f.Members {
		_, st := m.status()
		if st == nil {
			continue
		}
		if to := st.DowngradeInfo.GetTargetVersion(); st.DowngradeInfo.GetEnabled() && !slices.Contains(target, to) {
			target = append(target, to)
		}
		parts := strings.SplitN(st.Version, ".", 3)
		if len(parts) < 3 {
			continue
		}
		minor := parts[0] + "." + parts[1]
		minors[minor] = append(minors[minor], m.title())
		switch {
		// etcd's release notes: data inconsistency after a crash, fixed in 3.5.3.
		case minor == "3.5" && slices.Contains([]string{"0", "1", "2"}, parts[2]):
			lossy = append(lossy, m.title()+" runs "+st.Version)
		case minor < "3.4" || minor == "3.4":
			old = append(old, m.title()+" runs "+st.Version)
		}
	}
	const look = "endpoint status --cluster -w table"
	if len(lossy) > 0 {
		list = append(list, problem("lossy-version", "upgrade to the latest 3.5", "%s, which can lose data consistency when it crashes", strings.Join(lossy, ", ")).run(look))
	}
	if len(old) > 0 {
		list = append(list, warning("old-version", "upgrade, one minor version at a time; save a snapshot first", "%s; only the latest minor versions get fixes", strings.Join(old, ", ")).
			run("snapshot save FILE"))
	}
	if len(target) > 0 {
		list = append(list, note("downgrade", "replace the members' programs one after the other, or end it", "a downgrade to %s is under way", strings.Join(target, ", ")).run("downgrade cancel"))
	}
	if len(minors) > 1 && len(target) == 0 {
		var views []string
		for v, names := range minors {
			views = append(views, fmt.Sprintf("%s: %s", v, strings.Join(names, ", ")))
		}
		slices.Sort(views)
		list = append(list, warning("mixed-versions", "finish the upgrade; until then the cluster offers only what the oldest version can",
			"members run different versions (%s)", strings.Join(views, "; ")).run(look))
	}
	return list
}

const (
	slowFloor  = 100 * time.Millisecond
	slowFactor = 5
)

// slow: a member that takes far longer than the others.
func slow(f *Facts) (list []Finding) {
	var took []time.Duration
	for _, m := range f.Members {
		if a, _ := m.status(); a != nil {
			took = append(took, a.Took)
		}
	}
	if len(took) == 0 {
		return nil
	}
	slices.Sort(took)
	usual := took[(len(took)-1)/2]
	for _, m := range f.Members {
		if a, _ := m.status(); a != nil && a.Took >= slowFloor && a.Took >= slowFactor*usual && len(took) > 1 {
			list = append(list, warning("slow", "look at its load, its disk and the way there; this client avoids it by itself",
				"%s takes %s to answer, the others about %s", m.title(), a.Took.Round(time.Millisecond), usual.Round(time.Millisecond)).
				of(m.title()).run("top --no-watch"))
		}
	}
	if len(list) == 0 && usual >= slowFloor {
		list = append(list, note("far", "if that is not the distance, look at the members' load", "members take %s to answer from here", usual.Round(time.Millisecond)).
			run("top --no-watch"))
	}
	return list
}

// What etcd's documentation calls good: see "Hardware recommendations" and "Metrics".
const (
	fsyncGood  = 10 * time.Millisecond
	commitGood = 25 * time.Millisecond
)

func disks(f *Facts) (list []Finding) {
	for _, m := range f.Members {
		a, _ := m.status()
		if a == nil {
			continue
		}
		var slow []string
		if a.Fsync.Known && a.Fsync.P99 > fsyncGood {
			slow = append(slow, fmt.Sprintf("1 %% or more of its writes to the log took longer than %s (up to %s is good)", a.Fsync.P99, fsyncGood))
		}
		if a.Commit.Known && a.Commit.P99 > commitGood {
			slow = append(slow, fmt.Sprintf("1 %% or more of its database commits took longer than %s (up to %s is good)", a.Commit.P99, commitGood))
		}
		if len(slow) > 0 {
			list = append(list, warning("disk", "look at what else uses that disk, or give the member a faster one for itself; slow ones cause elections",
				"the disk of %s is slow: %s %s", m.title(), f.period(), strings.Join(slow, ", ")).of(m.title()).run("doctor --period 1m"))
		}
	}
	return list
}

const lagWarning = 5000 // entries; a snapshot is sent to members that lag twenty times as far

func lag(f *Facts) (list []Finding) {
	var first uint64
	for _, m := range f.Members {
		if _, st := m.status(); st != nil {
			first = max(first, st.RaftIndex)
		}
	}
	for _, m := range f.Members {
		_, st := m.status()
		if st == nil {
			continue
		}
		if behind := first - st.RaftAppliedIndex; behind > lagWarning {
			list = append(list, warning("lag", "look at its disk and the network to it; serializable reads there are old",
				"%s is %d entries behind", m.title(), behind).of(m.title()).run("endpoint status --cluster -w table"))
		}
		if m.Learner && first-st.RaftAppliedIndex <= lagWarning {
			list = append(list, note("learner", "give it a vote", "%s is a learner and up to date: it can be promoted", m.title()).
				of(m.title()).run("member promote "+idText(m.ID)))
		}
	}
	return list
}

const (
	stampedeLeases = 100
	stampedeWindow = time.Second
	lateShare      = 0.34 // of the TTL left: three renewals in a TTL would have come before
	lateLeases     = 10
)

// stampede: leases that end together, and leases that nobody renews.
func stampede(f *Facts) (list []Finding) {
	if f.LeaseErr != nil {
		return []Finding{note("leases-unknown", "ask as a user who may", "leases could not be looked at: %v", f.LeaseErr).run("--user root doctor")}
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
		list = append(list, warning("late-leases", "see whether the owners of their keys live",
			"about %.0f leases with %.0f keys were not renewed for two thirds of their time%s: their keys are about to go", float64(late)*scale, float64(keys)*scale, of).
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
		list = append(list, warning("stampede", "spread when they are granted and renewed: clients that start together should wait a random time first",
			"about %.0f leases with %.0f keys end within the same second%s unless they are renewed: all watchers of those keys would be told at once", n, float64(attached)*scale, of).
			run(fmt.Sprintf("lease timetolive %x --keys", worst[0].ID)))
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
