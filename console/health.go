package console

import (
	"strconv"
	"time"

	"github.com/fairlead-go/fairlead/internal/doctor"
)

// health is the findings of an examination.
type health struct {
	At       int64     `json:"at"`    // milliseconds since 1970
	Every    int64     `json:"every"` // milliseconds between two examinations while a page shows them
	Findings []finding `json:"findings"`
}

// finding is a problem or warning, in the words of "fairlead doctor".
type finding struct {
	Rule     string   `json:"rule"`
	Severity string   `json:"severity"` // problem or warning
	Stops    bool     `json:"stops,omitempty"`
	Members  []string `json:"members,omitempty"`
	Title    string   `json:"title"`
	What     string   `json:"what"`
	Detail   string   `json:"detail,omitempty"`
	Means    string   `json:"means,omitempty"`
	Do       string   `json:"do,omitempty"`
	Mends    []mend   `json:"mends,omitempty"`
	Since    int64    `json:"since"`             // when it was first seen
	Earlier  bool     `json:"earlier,omitempty"` // it was there at the console's first examination
	key      string   // tells it from other findings, whatever its figures are
}

// mend is an operation that repairs a finding or helps to.
type mend struct {
	Action string `json:"action"`
	Member string `json:"member,omitempty"`
	Text   string `json:"text"`
}

var (
	compacts    = mend{Action: "compact", Text: "Compact…"}
	defragments = mend{Action: "defragment", Text: "Defragment…"}
	removes     = mend{Action: "member-remove", Text: "Remove it for good…"}
	leads       = mend{Action: "move-leader", Text: "Move leader…"}
)

// mendings are the operations for each rule, in the order in which to do them. The member is filled
// in for operations that need one.
var mendings = map[string][]mend{
	"no-space":         {compacts, defragments, {Action: "disarm", Text: "Disarm alarms…"}},
	"nearly-full":      {compacts, defragments},
	"file-nearly-full": {defragments},
	"no-compaction":    {compacts},
	"corrupt":          {removes},
	"silent":           {removes},
	"never-started":    {removes},
	"slow":             {leads},
	"disk":             {leads},
}

// mendsOf returns the operations for a finding. A slow leader can hand over the leadership.
func mendsOf(f *doctor.Facts, g doctor.Finding) (list []mend) {
	var id uint64
	if len(g.Members) == 1 {
		id = f.ID(g.Members[0])
	}
	for _, m := range mendings[g.Rule] {
		switch m.Action {
		case "member-remove":
			if id == 0 {
				continue
			}
			m.Member = idName(id)
		case "move-leader":
			if id == 0 || id != f.Leader() || len(f.Members) < 2 {
				continue
			}
		}
		list = append(list, m)
	}
	return list
}

// onsets remembers when each problem began. A warning is shown when it is found for the second time
// in a row: one slow answer may be chance, and findings that come and go would move the page while
// the user is working.
type onsets struct {
	looked bool
	all    map[string]onset // by rule, severity and members
}

type onset struct {
	at      time.Time
	earlier bool
}

// health judges the facts. It leaves out notes, which are not problems.
func (o *onsets) health(f *doctor.Facts) *health {
	h := &health{At: f.Now.UnixMilli(), Every: healthEvery.Milliseconds(), Findings: []finding{}}
	now := make(map[string]onset)
	for _, g := range doctor.Judge(f) {
		if g.Severity == doctor.Note {
			continue
		}
		key := g.Rule + g.Severity.String()
		for _, m := range g.Members {
			key += strconv.Quote(m)
		}
		began, ok := o.all[key]
		if !ok {
			began = onset{f.Now, !o.looked}
		}
		now[key] = began
		if !ok && g.Severity == doctor.Warning {
			continue
		}
		h.Findings = append(h.Findings, finding{
			Rule: g.Rule, Severity: g.Severity.String(), Stops: g.Stops, Members: g.Members, Title: g.Title,
			What: g.What, Detail: g.Detail, Means: g.Means, Do: g.Do,
			Mends: mendsOf(f, g), Since: began.at.UnixMilli(), Earlier: began.earlier, key: key,
		})
	}
	o.looked, o.all = true, now
	return h
}
