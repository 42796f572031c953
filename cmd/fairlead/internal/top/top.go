// Package top is the model behind "fairlead top": it gets observations of a cluster, turns them
// into rates and renders them for a terminal of any size. It has no clock and no connection.
package top

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/columns"
)

// Member is a member's own report of its status.
type Member struct {
	Name     string
	Endpoint string
	Leader   bool
	Learner  bool
	Version  string
	Took     time.Duration // the time that the request took
	DB       int64         // bytes
	Quota    int64         // bytes; 0 if unknown
	Revision int64
	Applied  uint64 // raft entries
	Err      error  // nil if it answered
}

// window is how many seconds the hottest prefixes are counted over.
const window = 10

// Model holds what is shown. It is not safe for concurrent use.
type Model struct {
	depth   int
	members []Member
	at      time.Time

	requests, changes float64   // per second, for the whole cluster
	history           []float64 // of changes, the latest at the end

	seconds [window]map[string]int64 // changes of each prefix; a ring by second
	second  int64                    // the latest second
	total   int64
	note    string // the reason why changes are not counted; "" if they are
}

// New returns a model that counts prefixes of depth parts, which end with a slash.
func New(depth int) *Model { return &Model{depth: max(depth, 1)} }

// Status adds the members' reports at a time.
func (m *Model) Status(at time.Time, members []Member) {
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Endpoint, b.Endpoint))
	})
	if s := at.Sub(m.at).Seconds(); !m.at.IsZero() && s > 0 {
		revision, applied := latest(members)
		oldRevision, oldApplied := latest(m.members)
		if oldRevision > 0 && revision >= oldRevision {
			m.changes = float64(revision-oldRevision) / s
			m.history = append(m.history, m.changes)
			if n := len(m.history); n > 500 {
				m.history = slices.Clone(m.history[n-250:])
			}
		}
		if oldApplied > 0 && applied >= oldApplied {
			m.requests = float64(applied-oldApplied) / s
		}
	}
	m.at, m.members = at, members
}

func latest(members []Member) (revision int64, applied uint64) {
	for _, m := range members {
		revision, applied = max(revision, m.Revision), max(applied, m.Applied)
	}
	return revision, applied
}

// Change counts a change of a key.
func (m *Model) Change(at time.Time, key string) {
	m.roll(at.Unix())
	at0 := m.seconds[m.second%window]
	if at0 == nil {
		at0 = make(map[string]int64)
		m.seconds[m.second%window] = at0
	}
	at0[m.prefix(key)]++
	m.total++
}

// roll clears the counts of seconds that have passed.
func (m *Model) roll(now int64) {
	if now-m.second > window {
		m.second = now - window
	}
	for m.second < now {
		m.second++
		m.seconds[m.second%window] = nil
	}
}

// prefix returns the first parts of a key without its last one, since a key is not a prefix. It is
// empty for a key of one part.
func (m *Model) prefix(key string) string {
	end := 0
	for range m.depth {
		// A slash at the very beginning does not begin a new part.
		from := end
		if from == 0 && strings.HasPrefix(key, "/") {
			from = 1
		}
		i := strings.IndexByte(key[from:], '/')
		if i < 0 {
			return key[:max(end, from)]
		}
		end = from + i + 1
	}
	return key[:end]
}

// Note sets the reason why changes are not counted, or not any more; "" if they are.
func (m *Model) Note(s string) { m.note = s }

// Hot is a prefix and its changes per second. The prefix is empty for keys without a slash.
type Hot struct {
	Prefix string
	Rate   float64
}

// Hottest returns the prefixes with the most changes in the last seconds.
func (m *Model) Hottest(now time.Time) []Hot {
	m.roll(now.Unix())
	sum := make(map[string]int64)
	for _, s := range m.seconds {
		for p, n := range s {
			sum[p] += n
		}
	}
	var list []Hot
	for p, n := range sum {
		list = append(list, Hot{p, float64(n) / window})
	}
	slices.SortFunc(list, func(a, b Hot) int {
		return cmp.Or(cmp.Compare(b.Rate, a.Rate), cmp.Compare(a.Prefix, b.Prefix))
	})
	return list
}

// Render draws the model on at most height lines of at most width columns; 0 means no limit.
func (m *Model) Render(now time.Time, width, height int) []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	revision, _ := latest(m.members)
	add(
		"%s  revision %d  %s changes/s  %s proposals/s",
		now.Format(time.TimeOnly),
		revision,
		rate(m.changes),
		rate(m.requests),
	)
	if spark := sparkline(m.history, cmp.Or(width, 80)-11); spark != "" {
		add("changes/s  %s", spark)
	}
	add("")
	add("  %-12s %-8s %-8s %9s %9s %5s  %s", "MEMBER", "ROLE", "VERSION", "LATENCY", "DB", "QUOTA", "ENDPOINT")
	for _, x := range m.members {
		if x.Err != nil {
			add("! %-12s %-8s %s: %s", printable(x.Name), "down", x.Endpoint, printable(x.Err.Error()))
			continue
		}
		role := "follower"
		switch {
		case x.Leader:
			role = "leader"
		case x.Learner:
			role = "learner"
		}
		quota := "?"
		if x.Quota > 0 {
			quota = fmt.Sprintf("%.0f%%", 100*float64(x.DB)/float64(x.Quota))
		}
		add(
			"  %-12s %-8s %-8s %9s %9s %5s  %s",
			printable(x.Name),
			role,
			x.Version,
			short(x.Took),
			bytes(x.DB),
			quota,
			x.Endpoint,
		)
	}
	add("")
	add("  %-10s HOTTEST PREFIXES, last %d s; %d changes seen", "CHANGES/S", window, m.total)
	if m.note != "" {
		add("! %s", printable(m.note))
	}
	for _, h := range m.Hottest(now) {
		add("  %-10s %s", rate(h.Rate), cmp.Or(printable(h.Prefix), "(keys without a slash)"))
		if height > 0 && len(lines) >= height {
			break
		}
	}
	if height > 0 && len(lines) > height {
		lines = lines[:height]
	}
	if width > 0 {
		for i, l := range lines {
			lines[i] = columns.Cut(strings.TrimRight(l, " "), width)
		}
	}
	return lines
}

// printable escapes bytes of keys that would harm a terminal.
func printable(s string) string {
	harmful := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	if !strings.ContainsFunc(s, harmful) {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

func rate(v float64) string {
	switch {
	case v >= 10000:
		return fmt.Sprintf("%.0fk", v/1000)
	case v >= 10 || v == 0:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

func short(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

func bytes(n int64) string {
	v, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB"} {
		if v < 1024 {
			break
		}
		v, unit = v/1024, u
	}
	return fmt.Sprintf("%.3g %s", v, unit)
}

// sparkline draws the last values, as many as fit.
func sparkline(values []float64, width int) string {
	if width < 1 || len(values) == 0 {
		return ""
	}
	if len(values) > width {
		values = values[len(values)-width:]
	}
	highest := slices.Max(values)
	levels := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, v := range values {
		i := 0
		if highest > 0 {
			i = int(v / highest * float64(len(levels)-1))
		}
		b.WriteRune(levels[i])
	}
	return b.String()
}
