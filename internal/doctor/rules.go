package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// rules are in the order in which a person would examine a cluster. Each cause has one finding: a
// rule finds nothing if another rule has found the cause.
var rules = []func(*Facts) []Finding{
	availability, addresses, leaders, alarms, quota, fragments, versions, slow, disks, lag, elections, certificates,
	clocks, stampede, history, count, open, unseen,
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

// of sets the members of a finding.
func (f Finding) of(members ...string) Finding {
	f.Members = members
	return f
}

// because sets the messages of programs that explain a finding.
func (f Finding) because(text string, args ...any) Finding {
	f.Detail = fmt.Sprintf(text, args...)
	return f
}

// run adds the program's commands that help.
func (f Finding) run(commands ...string) Finding {
	f.Run = append(f.Run, commands...)
	return f
}

// word returns a name or address from a member as a word of a command line that people copy into a
// shell, or otherwise if it has characters that names and addresses do not need.
func word(name, otherwise string) string {
	harmless := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("-_.:/,[]", r)
	}
	if name == "" || name[0] == '-' || strings.ContainsFunc(name, func(r rune) bool { return !harmless(r) }) {
		return otherwise
	}
	if strings.ContainsAny(name, "[]") {
		return "'" + name + "'" // shells treat brackets as patterns
	}
	return name
}

func titles(members []*Member) (list []string) {
	for _, m := range members {
		list = append(list, m.title())
	}
	return list
}

// short returns a period in words for people.
func short(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// period says what period the members' counts are about.
func (f *Facts) period() string {
	if f.Period == 0 {
		return "since it started"
	}
	return "in the last " + short(f.Period)
}

// enumerate returns a list as the subject of a sentence, with the right form of the verb.
func enumerate(list []string, one, more string) string {
	switch n := len(list); n {
	case 0:
		return ""
	case 1:
		return list[0] + " " + one
	default:
		return strings.Join(list[:n-1], ", ") + " and " + list[n-1] + " " + more
	}
}

func (f *Facts) nameOf(id uint64) string {
	for _, m := range f.Members {
		if m.ID == id {
			return m.title()
		}
	}
	return idText(id)
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
		list = append(
			list,
			problem(
				"lossy-version",
				"upgrade to the latest 3.5",
				"%s, which can lose data consistency when it crashes",
				strings.Join(lossy, ", "),
			).run(look),
		)
	}
	if len(old) > 0 {
		list = append(
			list,
			warning(
				"old-version",
				"upgrade, one minor version at a time; save a snapshot first",
				"%s; only the latest minor versions get fixes",
				strings.Join(old, ", "),
			).
				run("snapshot save FILE"),
		)
	}
	if len(target) > 0 {
		list = append(
			list,
			note(
				"downgrade",
				"replace the members' programs one after the other, or end it",
				"a downgrade to %s is under way",
				strings.Join(target, ", "),
			).run("downgrade cancel"),
		)
	}
	if len(minors) > 1 && len(target) == 0 {
		var views []string
		for v, names := range minors {
			views = append(views, fmt.Sprintf("%s: %s", v, strings.Join(names, ", ")))
		}
		slices.Sort(views)
		list = append(list, warning("mixed-versions", "finish the upgrade",
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
			list = append(list, warning(
				"slow",
				"look at its load, its disk and the way there",
				"%s takes %s to answer, the others about %s",
				m.title(),
				a.Took.Round(time.Millisecond),
				usual.Round(time.Millisecond),
			).
				of(m.title()).run("top --no-watch"))
		}
	}
	if len(list) == 0 && usual >= slowFloor {
		list = append(
			list,
			note(
				"far",
				"if that is not the distance, look at the members' load",
				"members take %s to answer from here",
				usual.Round(time.Millisecond),
			).
				run("top --no-watch"),
		)
	}
	return list
}

// The values that etcd's documentation recommends: see "Hardware recommendations" and "Metrics".
const (
	fsyncGood  = 10 * time.Millisecond
	commitGood = 25 * time.Millisecond
)

func disks(f *Facts) (list []Finding) {
	reported := make(map[string]bool) // processes
	for _, m := range f.Members {
		a, _ := m.status()
		if a == nil {
			continue
		}
		name := m.title()
		if together := f.inProcess(a.counted); len(together) > 1 {
			if name = strings.Join(together, ", ") + ", which are one process,"; reported[name] {
				continue
			}
			reported[name] = true
		}
		var slow []string
		if a.Fsync.Known && a.Fsync.P99 > fsyncGood {
			slow = append(
				slow,
				fmt.Sprintf(
					"1 %% or more of its writes to the log took longer than %s (up to %s is good)",
					a.Fsync.P99,
					fsyncGood,
				),
			)
		}
		if a.Commit.Known && a.Commit.P99 > commitGood {
			slow = append(
				slow,
				fmt.Sprintf(
					"1 %% or more of its database commits took longer than %s (up to %s is good)",
					a.Commit.P99,
					commitGood,
				),
			)
		}
		if len(slow) > 0 {
			list = append(
				list,
				warning(
					"disk",
					"look at what else uses that disk, or give the member a faster one for itself",
					"the disk of %s is slow: %s %s",
					name,
					f.period(),
					strings.Join(slow, ", "),
				).of(m.title()).run("doctor --period 1m"),
			)
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
			list = append(list, warning("lag", "look at its disk and the network to it",
				"%s is %d entries behind", m.title(), behind).of(m.title()).run("endpoint status --cluster -w table"))
		}
		if m.Learner && first-st.RaftAppliedIndex <= lagWarning {
			list = append(
				list,
				note("learner", "give it a vote", "%s is a learner and up to date: it can be promoted", m.title()).
					of(m.title()).run("member promote "+idText(m.ID)),
			)
		}
	}
	return list
}
