package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// rules are in the order in which a person would look.
var rules = []func(*Facts) []Finding{
	unreachable, quorum, leaders, alarms, quota, versions, slow, disks, lag, elections, clocks, stampede, history, count, open,
}

func idText(id uint64) string { return fmt.Sprintf("%x", id) }

func problem(do, what string, args ...any) Finding {
	return Finding{Problem, fmt.Sprintf(what, args...), do}
}

func warning(do, what string, args ...any) Finding {
	return Finding{Warning, fmt.Sprintf(what, args...), do}
}

func note(do, what string, args ...any) Finding { return Finding{Note, fmt.Sprintf(what, args...), do} }

// unreachable: members that do not answer, and addresses that lead nowhere.
func unreachable(f *Facts) (list []Finding) {
	switch {
	case f.Unreachable():
		list = append(list, problem("look at the addresses, at firewalls, at --cacert and --cert if the members want TLS, and at the members' logs",
			"no endpoint answers, so that nothing can be said of the cluster"))
	case f.ListErr != nil:
		list = append(list, problem("look at the addresses below, at firewalls, and at the members' logs",
			"no endpoint could say who the members are: %v", f.ListErr))
	}
	for _, m := range f.Members {
		if m.Name == "" && m.ID != 0 {
			list = append(list, warning("start it with --initial-cluster-state=existing, or remove it: fairlead member remove "+idText(m.ID),
				"member %s was added but never started; it counts for the quorum", idText(m.ID)))
			continue
		}
		_, st := m.status()
		if st == nil {
			var tried []string
			for _, a := range m.URLs {
				tried = append(tried, fmt.Sprintf("%s: %v", a.URL, a.Err))
			}
			if len(tried) == 0 {
				tried = []string{"it advertises no address for clients"}
			}
			list = append(list, problem("see whether it runs, and what its log says last; if it only cannot be reached from here, look at firewalls and --listen-client-urls",
				"%s does not answer (%s)", m.subject(), strings.Join(tried, "; ")))
			continue
		}
		for _, a := range m.URLs {
			if a.Err != nil && a.Advertised {
				list = append(list, warning("correct --advertise-client-urls of that member: clients that ask the cluster for its addresses are sent there",
					"member %s advertises %s, which cannot be reached from here (%v); it can be at another address", m.title(), a.URL, a.Err))
			}
		}
	}
	return list
}

// voters counts members that vote, and those of them that answer.
func voters(f *Facts) (all, answering int) {
	for _, m := range f.Members {
		if m.Learner || m.Unlisted {
			continue
		}
		all++
		if _, st := m.status(); st != nil {
			answering++
		}
	}
	return all, answering
}

func quorum(f *Facts) []Finding {
	all, answering := voters(f)
	need := all/2 + 1
	switch {
	case f.Read.Err != nil && all > 0 && answering < need:
		return []Finding{problem("bring members back; if more than half are lost for ever, restore a snapshot: etcdutl snapshot restore",
			"no quorum: %d of %d voting members answer, %d are needed. Nothing can be read (except serializable) or written", answering, all, need)}
	case f.Read.Err != nil:
		return []Finding{problem("look at the members' logs for elections and slow disks, and at the network between them",
			"a read that needs a quorum failed although %d of %d members answer: %v", answering, all, f.Read.Err)}
	case all > 1 && answering == need && answering < all:
		return []Finding{warning("bring the missing members back before anything else",
			"just a quorum is left (%d of %d): one more failure stops the cluster", answering, all)}
	}
	return nil
}

// leaders: members should agree on who leads.
func leaders(f *Facts) (list []Finding) {
	by := make(map[uint64][]string)
	for _, m := range f.Members {
		if _, st := m.status(); st != nil {
			by[st.Leader] = append(by[st.Leader], m.title())
		}
	}
	if without := by[0]; len(without) > 0 {
		list = append(list, problem("if it stays so, look at the network between the members and at their clocks' and disks' load",
			"%s: no leader", strings.Join(without, ", ")))
		delete(by, 0)
	}
	if len(by) > 1 {
		var views []string
		for id, names := range by {
			views = append(views, fmt.Sprintf("%s by %s", idText(id), strings.Join(names, ", ")))
		}
		slices.Sort(views)
		list = append(list, warning("ask again: after an election it takes a moment; if it stays so, members cannot reach each other",
			"members disagree on the leader: %s", strings.Join(views, "; ")))
	}
	return list
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
	for _, a := range f.Alarms {
		switch a.Alarm {
		case pb.AlarmType_NOSPACE:
			list = append(list, problem(`make room: "fairlead compaction REVISION", "fairlead defrag" member by member, then "fairlead alarm disarm"; raise --quota-backend-bytes if the data is needed`,
				"the database of %s is full: all writes but deletions are refused", f.nameOf(a.MemberID)))
		case pb.AlarmType_CORRUPT:
			list = append(list, problem("stop that member and replace it with an empty one; compare the others first: fairlead endpoint hashkv --cluster",
				"%s found its data to differ from the others'", f.nameOf(a.MemberID)))
		}
	}
	return list
}

const (
	defaultQuota = 2 << 30 // of servers that do not say
	quotaWarning = 0.8
	worthDefrag  = 256 << 20
)

func quota(f *Facts) (list []Finding) {
	for _, m := range f.Members {
		_, st := m.status()
		if st == nil {
			continue
		}
		limit, known := st.DbSizeQuota, "its quota is"
		if limit <= 0 {
			limit, known = defaultQuota, "its quota, if it is the default, is"
		}
		unused := st.DbSize - st.DbSizeInUse
		switch {
		case float64(st.DbSizeInUse) >= quotaWarning*float64(limit):
			list = append(list, problem("find what grows (fairlead top shows the hottest prefixes), compact, and raise --quota-backend-bytes if the data is needed",
				"the data of %s takes %s, %s %s", m.title(), size(st.DbSizeInUse), known, size(limit)))
		case float64(st.DbSize) >= quotaWarning*float64(limit):
			list = append(list, problem("fairlead defrag --endpoints (one member at a time): it gives unused space back",
				"the database file of %s takes %s, of which %s are unused; %s %s", m.title(), size(st.DbSize), size(unused), known, size(limit)))
		case unused >= worthDefrag && unused > st.DbSize/2:
			list = append(list, note("fairlead defrag, one member at a time, when there is little traffic",
				"more than half of the database file of %s is unused (%s of %s)", m.title(), size(unused), size(st.DbSize)))
		}
	}
	return list
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
	for _, m := range f.Members {
		_, st := m.status()
		if st == nil {
			continue
		}
		if st.DowngradeInfo.GetEnabled() {
			list = append(list, note("", "a downgrade to %s is under way", st.DowngradeInfo.GetTargetVersion()))
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
			list = append(list, problem("upgrade to the latest 3.5", "%s runs %s, which can lose data consistency when it crashes", m.title(), st.Version))
		case minor < "3.4" || minor == "3.4":
			list = append(list, warning("upgrade, one minor version at a time", "%s runs %s; only the latest minor versions get fixes", m.title(), st.Version))
		}
	}
	if len(minors) > 1 {
		var views []string
		for v, names := range minors {
			views = append(views, fmt.Sprintf("%s: %s", v, strings.Join(names, ", ")))
		}
		slices.Sort(views)
		list = append(list, warning("finish the upgrade; until then the cluster offers only what the oldest version can",
			"members run different versions (%s)", strings.Join(views, "; ")))
	}
	return slices.Compact(list)
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
			list = append(list, warning("look at its load, its disk and the way there; this client avoids it by itself",
				"%s takes %s to answer, the others about %s", m.title(), a.Took.Round(time.Millisecond), usual.Round(time.Millisecond)))
		}
	}
	if len(list) == 0 && usual >= slowFloor {
		list = append(list, note("if that is not the distance, look at the members' load", "members take %s to answer from here", usual.Round(time.Millisecond)))
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
		if a.Fsync.Known && a.Fsync.P99 > fsyncGood {
			list = append(list, warning("give the write-ahead log a faster disk that it has for itself; slow ones cause elections",
				"1 %% of the disk writes of %s take longer than %s (up to %s is good)", m.title(), a.Fsync.P99, fsyncGood))
		}
		if a.Commit.Known && a.Commit.P99 > commitGood {
			list = append(list, warning("look at what else uses that disk", "1 %% of the database commits of %s take longer than %s (up to %s is good)", m.title(), a.Commit.P99, commitGood))
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
			list = append(list, warning("look at its disk and the network to it; serializable reads there are old",
				"%s is %d entries behind", m.title(), behind))
		}
		if m.Learner && first-st.RaftAppliedIndex <= lagWarning {
			list = append(list, note("fairlead member promote "+idText(m.ID), "%s is a learner and up to date: it can be promoted", m.title()))
		}
	}
	return list
}

const manyElections = 10

func elections(f *Facts) (list []Finding) {
	for _, m := range f.Members {
		if a, _ := m.status(); a != nil && a.Elections > manyElections {
			list = append(list, note("if the number grows while nobody restarts members: look at disks and at the network between them; over long distances raise --heartbeat-interval and --election-timeout",
				"%s has seen the leader change %.0f times since it started", m.title(), a.Elections))
		}
	}
	return list
}

const clockTolerance = 3 * time.Second // the members' answer has seconds only

func clocks(f *Facts) (list []Finding) {
	for _, m := range f.Members {
		a, _ := m.status()
		if a == nil || !a.HasClock || a.Clock.Abs() <= clockTolerance {
			continue
		}
		way := "ahead of"
		if a.Clock < 0 {
			way = "behind"
		}
		list = append(list, warning("run a time service there and here; leases do not depend on clocks, but certificates, tokens and logs do",
			"the clock of %s is %s %s this machine's", m.title(), a.Clock.Abs().Round(time.Second), way))
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
		return []Finding{note("", "leases could not be looked at: %v", f.LeaseErr)}
	}
	ends := make(map[int64][]Lease)
	late, keys := 0, 0
	for _, l := range f.Leases {
		if l.TTL <= 0 {
			continue
		}
		ends[int64(l.Left/stampedeWindow)] = append(ends[int64(l.Left/stampedeWindow)], l)
		if float64(l.Left) < lateShare*float64(l.TTL) {
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
		list = append(list, warning("see whether their owners live: fairlead lease timetolive --keys LEASE",
			"about %.0f leases with %.0f keys were not renewed for two thirds of their time%s: their keys are about to go", float64(late)*scale, float64(keys)*scale, of))
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
		list = append(list, warning("spread when they are granted and renewed: clients that start together should wait a random time first",
			"about %.0f leases with %.0f keys end within the same second%s unless they are renewed: all watchers of those keys would be told at once", n, float64(attached)*scale, of))
	}
	return list
}

const longHistory = 1_000_000

func history(f *Facts) []Finding {
	if f.Revision > longHistory && !f.Compacted {
		return []Finding{warning("set --auto-compaction-retention (1h is usual), or run fairlead compaction",
			"the history was never compacted: all %d revisions are kept", f.Revision)}
	}
	return nil
}

func count(f *Facts) []Finding {
	all, _ := voters(f)
	switch {
	case all == 1 && f.Remote:
		return []Finding{note("three members survive the loss of one", "there is one member: while it is away, everything is")}
	case all > 0 && all%2 == 0:
		return []Finding{note("add one or remove one", "%d voting members survive no more failures than %d would", all, all-1)}
	case all > 7:
		return []Finding{note("five are enough for nearly all; make the others learners, or put a gRPC proxy in front", "%d voting members make every write slower", all)}
	}
	return nil
}

func open(f *Facts) (list []Finding) {
	if f.Remote && f.AuthOn != nil && !*f.AuthOn {
		list = append(list, note("fairlead auth enable, after adding a root user", "everybody who reaches an endpoint can read and write everything: authentication is off"))
	}
	if f.Remote && !f.Secure {
		list = append(list, note("give the members certificates: --cert-file, --key-file", "the connection is not encrypted"))
	}
	return list
}
