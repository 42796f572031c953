package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// nobody returns the finding for a cluster of which nothing is known.
func nobody(f *Facts) []Finding {
	if list := defragmentations(f); len(list) > 0 {
		return list
	}
	var tried []string
	for _, m := range f.Members {
		for _, a := range m.URLs {
			tried = append(tried, fmt.Sprintf("%s: %v", a.URL, a.Err))
		}
	}
	if f.Refused() {
		return []Finding{
			problem(
				"refused",
				"say who asks, with --user and a password, or --cert and --key",
				"the endpoints answer, but not to this user",
			).
				because("%v", f.ListErr).
				run("--user NAME doctor"),
		}
	}
	return []Finding{
		problem(
			"unreachable",
			"look at the addresses, at firewalls, at --cacert and --cert if the members want TLS, and at the members' "+
				"logs",
			"no endpoint answers",
		).because("%s", strings.Join(tried, "; ")).
			run("endpoint health"),
	}
}

// silent returns the voting members that do not answer.
func silent(f *Facts) (list []*Member) {
	for _, m := range f.Members {
		if _, st := m.status(); st == nil && !m.Learner && !m.neverStarted() && !f.defragments(m) {
			list = append(list, m)
		}
	}
	return list
}

// defragments reports whether a member is silent because it is being defragmented.
func (f *Facts) defragments(m *Member) bool {
	_, st := m.status()
	return st == nil && (m.ID != 0 && m.ID == f.Defragmenting ||
		slices.ContainsFunc(m.URLs, func(a Address) bool { return a.Defrags }))
}

func (m *Member) neverStarted() bool { return m.Name == "" && m.ID != 0 && len(m.URLs) == 0 }

// why says which addresses of a member without an answer were tried.
func (m *Member) why() string {
	var tried []string
	for _, a := range m.URLs {
		tried = append(tried, fmt.Sprintf("%s: %v", a.URL, a.Err))
	}
	if len(tried) == 0 {
		return "it advertises no address for clients"
	}
	return strings.Join(tried, "; ")
}

// replacement returns the commands that replace a lost member by a new one.
func (m *Member) replacement() []string {
	if m.ID == 0 { // it may not be a member
		return []string{"--endpoints " + word(m.URLs[0].URL, "URL") + " endpoint health", "member list"}
	}
	urls := word(strings.Join(m.PeerURLs, ","), "URL")
	return []string{
		"member remove " + idText(m.ID),
		fmt.Sprintf("member add %s --peer-urls %s --learner", word(m.Name, "NAME"), urls),
	}
}

// voters counts members that vote, and those of them that answer.
func voters(f *Facts) (all, answering int) {
	for _, m := range f.Members {
		if m.Learner || m.Unlisted {
			continue
		}
		all++
		if _, st := m.status(); st != nil || f.defragments(m) {
			answering++
		}
	}
	return all, answering
}

// defragmentations: members that are silent for that reason.
func defragmentations(f *Facts) (list []Finding) {
	silent := f.Defragmented()
	after := ""
	if all, answering := voters(f); answering-len(silent) <= all/2 {
		after = "; until that is done the cluster answers nothing"
	}
	for _, m := range silent {
		list = append(list, warning(
			"defragmenting",
			"wait until it is done",
			"%s is being defragmented%s",
			m.subject(),
			after,
		).of(m.title()).run("endpoint status --cluster"))
	}
	return list
}

// availability: members that do not answer, and what follows from that.
func availability(f *Facts) (list []Finding) {
	if f.ListErr != nil {
		list = append(
			list,
			problem("member-list", "look at the addresses below, at firewalls, and at the members' logs",
				"no endpoint could say who the members are").because("%v", f.ListErr).run("endpoint health"),
		)
	}
	list = append(list, defragmentations(f)...)
	all, answering := voters(f)
	need := all/2 + 1
	after := ""
	if answering == need && all > need {
		after = fmt.Sprintf("; just a quorum is left (%d of %d): one more failure stops the cluster", answering, all)
	}
	for _, m := range f.Members {
		if f.defragments(m) {
			continue // defragmentations
		}
		if m.neverStarted() {
			list = append(list, warning(
				"never-started",
				"start it with --initial-cluster-state=existing, or remove it",
				"member %s was added but never started%s",
				idText(m.ID),
				after,
			).of(idText(m.ID)).run("member remove "+idText(m.ID)))
		}
		if m.Learner && !m.neverStarted() {
			if _, st := m.status(); st == nil {
				list = append(
					list,
					problem(
						"silent",
						"see whether it runs, and what its log says last; if it is lost for ever, replace it",
						"the learner %s does not answer",
						m.title(),
					).
						because("%s", m.why()).
						of(m.title()).
						run(m.replacement()...),
				)
			}
		}
	}
	away := silent(f)
	var why []string
	for _, m := range away {
		why = append(why, m.title()+": "+m.why())
	}
	if f.Read.Err != nil && all > 0 && answering < need {
		lost := problem(
			"no-quorum",
			"bring members back; if more than half are lost for ever, save what a living one has and restore that as "+
				"a new cluster",
			"%d of %d voting members answer, %d are needed; %s not",
			answering,
			all,
			need,
			enumerate(titles(away), "does", "do"),
		).because("%s", strings.Join(why, "; "))
		for _, m := range f.Members {
			if a, st := m.status(); st != nil {
				lost = lost.run("--endpoints "+word(a.URL, "URL")+" snapshot save FILE", restoreCommand(m))
				break
			}
		}
		return append(list, lost.of(titles(away)...))
	}
	for _, m := range away {
		list = append(list, problem(
			"silent",
			"see whether it runs, and what its log says last; if it only cannot be reached from here, look at "+
				"firewalls and --listen-client-urls; if it is lost for ever, replace it",
			"%s does not answer%s",
			m.subject(),
			after,
		).because("%s", m.why()).of(m.title()).run(m.replacement()...))
	}
	return list
}

// restoreCommand returns the command that makes a cluster of one member from a snapshot of m; the
// others join it afterwards.
func restoreCommand(m *Member) string {
	peer := word(strings.Join(m.PeerURLs[:min(len(m.PeerURLs), 1)], ""), "URL")
	name := word(m.Name, "NAME")
	return fmt.Sprintf(
		"snapshot restore FILE --data-dir DIRECTORY --name %s --initial-cluster %s=%s --initial-advertise-peer-urls %s",
		name,
		name,
		peer,
		peer,
	)
}

// addresses: members advertise addresses at which they cannot be reached.
func addresses(f *Facts) (list []Finding) {
	for _, m := range f.Members {
		if _, st := m.status(); st == nil {
			continue
		}
		for _, a := range m.URLs {
			if a.Err != nil && a.Advertised {
				list = append(list, warning(
					"advertised",
					"correct --advertise-client-urls of that member",
					"member %s advertises %s, which cannot be reached from here; it can be at another address",
					m.title(),
					a.URL,
				).
					because("%v", a.Err).of(m.title(), a.URL).run("--endpoints "+word(a.URL, "URL")+" endpoint health"))
			}
		}
	}
	return list
}

// leaders: members should agree on the leader, and the cluster should answer.
func leaders(f *Facts) (list []Finding) {
	if all, answering := voters(f); f.Read.Err != nil && answering-len(f.Defragmented()) <= all/2 {
		return nil // availability reports the cause
	}
	by := make(map[uint64][]string)
	for _, m := range f.Members {
		if _, st := m.status(); st != nil {
			by[st.Leader] = append(by[st.Leader], m.title())
		}
	}
	const network = "if it stays so, look at the members' logs for elections and slow disks, and at the network " +
		"between them"
	without := by[0]
	delete(by, 0)
	switch {
	case f.Read.Err != nil:
		what := ""
		if len(without) > 0 {
			what = "; no leader: " + strings.Join(without, ", ")
		}
		all, answering := voters(f)
		return []Finding{
			problem(
				"no-reads",
				network,
				"a read that needs a quorum failed although %d of %d members answer%s",
				answering,
				all,
				what,
			).because("%v", f.Read.Err).
				run("endpoint status --cluster -w table"),
		}
	case len(without) > 0:
		list = append(
			list,
			problem(
				"no-leader",
				network,
				"%s: no leader",
				strings.Join(without, ", "),
			).of(without...).
				run("endpoint status --cluster -w table"),
		)
	}
	if len(by) > 1 {
		var views []string
		for id, names := range by {
			views = append(views, fmt.Sprintf("%s by %s", f.nameOf(id), strings.Join(names, ", ")))
		}
		slices.Sort(views)
		list = append(
			list,
			warning(
				"two-leaders",
				"ask again: after an election it takes a moment; if it stays so, members cannot reach each other",
				"members disagree on the leader: %s",
				strings.Join(views, "; "),
			).run("endpoint status --cluster -w table"),
		)
	}
	return list
}

const manyElections = 10

func elections(f *Facts) []Finding {
	if len(silent(f)) > 0 || f.Read.Err != nil {
		return nil // the leader is what causes them
	}
	const do = "look at disks and at the network between the members; over long distances raise --heartbeat-interval " +
		"and --election-timeout"
	var most, seen float64
	for _, m := range f.Members {
		if a, _ := m.status(); a != nil {
			most, seen = max(most, a.NewLeaders), max(seen, a.LeadersSeen)
		}
	}
	switch {
	case most > 0:
		return []Finding{
			warning(
				"elections",
				do,
				"the leader changed %s in the last %s",
				times(most),
				short(f.Period),
			).run("doctor --period 1m"),
		}
	case seen > manyElections:
		return []Finding{note("elections-before", "if the number grows while nobody restarts members: "+do,
			"members have seen the leader change %s since they started", times(seen)).run("doctor --period 1m")}
	}
	return nil
}

func times(n float64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%.0f times", n)
}

func count(f *Facts) []Finding {
	all, _ := voters(f)
	switch {
	case all == 1 && f.Remote:
		return []Finding{note("one-member", "three members survive the loss of one", "there is one member").
			run("member add NAME --peer-urls URL --learner")}
	case all > 0 && all%2 == 0:
		return []Finding{
			note(
				"even",
				"add one or remove one",
				"%d voting members survive no more failures than %d would",
				all,
				all-1,
			).
				run("member add NAME --peer-urls URL --learner"),
		}
	case all > 7:
		return []Finding{
			note(
				"many",
				"five are enough for nearly all; remove others, or add them again as learners",
				"there are %d voting members",
				all,
			).
				run("member list", "member remove ID"),
		}
	}
	return nil
}

func open(f *Facts) (list []Finding) {
	if f.Remote && f.AuthOn != nil && !*f.AuthOn {
		list = append(list, note("no-auth", "switch authentication on, with a root user", "authentication is off").
			run("user add root", "auth enable"))
	}
	if f.Remote && !f.Secure {
		list = append(
			list,
			note("no-tls", "give the members certificates: --cert-file, --key-file", "the connection is not encrypted").
				run("--cacert FILE endpoint health"),
		)
	}
	return list
}
