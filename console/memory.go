package console

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/internal/doctor"
)

const (
	// memoryBuckets is how many steps each span has: enough for the width of a chart.
	memoryBuckets = 240
	hourStep      = time.Hour / memoryBuckets
	dayStep       = 24 * time.Hour / memoryBuckets
	// maxEvents bounds the number of events that are kept.
	maxEvents = 200
)

// memory keeps the results of examinations for later visitors: an hour and a day in steps, and
// events. It has no clock.
type memory struct {
	mu        sync.Mutex // guards all
	hour, day stretch
	events    []event // the oldest first

	at       time.Time // of the last examination
	revision int64
	leader   uint64
	starts   map[string]float64        // the start of each process, by member
	findings map[string]*finding       // by their key
	roster   map[uint64]listed         // the cluster's members; nil if unknown
	rumour   map[uint64]listed         // the list of the examination before, if it differed
	cluster  uint64                    // the cluster's etcd id
	received map[string][kinds]float64 // by process

	path    string // the file; "" without one. Set before any other use
	unsaved bool   // the last write failed
}

const kinds = int(doctor.Kinds)

// listed is a member in the cluster's list.
type listed struct {
	Name    string `json:"name"`
	Learner bool   `json:"learner,omitempty"`
}

// event is a change that was noticed.
type event struct {
	At   int64  `json:"at"`
	Kind string `json:"kind"` // leader, restart, joined, left, begun, over or change
	Text string `json:"text"`
}

// moment is the measurements of an examination.
type moment struct {
	at          time.Time
	changes     float64        // per second; below 0 if unknown
	requests    [kinds]float64 // per second
	counted     bool           // requests is known
	size, quota int64          // of the largest database
	members     map[string]timings
}

// timings are a member's in milliseconds; below 0 if unknown.
type timings struct{ answer, fsync, commit float64 }

func newMemory() *memory {
	return &memory{hour: stretch{step: hourStep}, day: stretch{step: dayStep}, starts: make(map[string]float64)}
}

// add adds an examination and its findings.
func (m *memory) add(f *doctor.Facts, h *health) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := moment{at: f.Now, changes: -1, members: make(map[string]timings)}
	revision := int64(0)
	for _, x := range f.Members {
		a := x.Answer()
		if a == nil {
			continue
		}
		t := timings{answer: millis(a.Took), fsync: -1, commit: -1}
		if a.Fsync.Known {
			t.fsync = millis(a.Fsync.P99)
		}
		if a.Commit.Known {
			t.commit = millis(a.Commit.P99)
		}
		now.members[x.Title()] = t
		revision = max(revision, a.Status.GetHeader().GetRevision())
		m.belongs(f.Now, a.Status.GetHeader().GetClusterId())
		now.size, now.quota = max(now.size, a.Status.DbSize), max(now.quota, a.Status.DbSizeQuota)
		m.began(f.Now, x.Title(), a.Started())
	}
	if past := f.Now.Sub(m.at).Seconds(); m.revision > 0 && revision >= m.revision && past > 0 {
		now.changes = float64(revision-m.revision) / past
	}
	now.requests, now.counted = m.rates(f)
	m.at = f.Now
	if revision > 0 {
		m.revision = revision
	}
	m.led(f)
	m.listed(f)
	m.found(f.Now, h)
	m.hour.add(now)
	m.day.add(now)
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (m *memory) happened(at time.Time, kind, text string) {
	m.events = append(m.events, event{at.UnixMilli(), kind, text})
	if n := len(m.events) - maxEvents; n > 0 {
		m.events = append([]event(nil), m.events[n:]...)
	}
}

// began notes that a member's process is not the one of before.
func (m *memory) began(at time.Time, member string, started float64) {
	if started == 0 {
		return
	}
	if before := m.starts[member]; before > 0 && started > before {
		m.happened(at, "restart", member+" restarted")
	}
	m.starts[member] = started
}

// led notes that another member leads than before.
func (m *memory) led(f *doctor.Facts) {
	leader := f.Leader()
	if leader == 0 {
		return
	}
	if m.leader != 0 && leader != m.leader {
		name := idName(leader)
		for _, x := range f.Members {
			if x.ID == leader {
				name = x.Title()
			}
		}
		m.happened(f.Now, "leader", name+" leads")
	}
	m.leader = leader
}

// listed notes members that have joined the cluster or were removed, when two examinations in a row
// agree: a member that lags reports an old list.
func (m *memory) listed(f *doctor.Facts) {
	now := make(map[uint64]listed)
	for _, x := range f.Members {
		if len(x.PeerURLs) > 0 { // without peer URLs it is an address that only the user has named
			now[x.ID] = listed{x.Title(), x.Learner}
		}
	}
	if f.ListErr != nil || len(now) == 0 {
		return
	}
	if m.roster == nil || maps.Equal(now, m.roster) {
		m.roster, m.rumour = now, nil
		return
	}
	if !maps.Equal(now, m.rumour) {
		m.rumour = now
		return
	}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		x := now[id]
		before, known := m.roster[id]
		switch {
		case !known && x.Learner:
			m.happened(f.Now, "joined", x.Name+" joined the cluster as a learner")
		case !known:
			m.happened(f.Now, "joined", x.Name+" joined the cluster")
		case before.Learner && !x.Learner:
			m.happened(f.Now, "joined", x.Name+" has a vote now")
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.roster)) {
		if _, ok := now[id]; !ok {
			m.happened(f.Now, "left", m.roster[id].Name+" was removed from the cluster")
		}
	}
	m.roster, m.rumour = now, nil
}

// found notes the problems that have begun since the last examination, and those that are over.
func (m *memory) found(at time.Time, h *health) {
	now := make(map[string]*finding)
	for i := range h.Findings {
		f := &h.Findings[i]
		now[f.key] = f
		if m.findings[f.key] == nil {
			m.happened(at, "begun", f.Title+": "+f.What)
		}
	}
	for key, f := range m.findings {
		if now[key] == nil {
			m.happened(
				at,
				"over",
				f.Title+" is over, after "+at.Sub(time.UnixMilli(f.Since)).Round(time.Second).String()+": "+f.What,
			)
		}
	}
	m.findings = now
}

// belongs starts again for another cluster: the past of one cluster does not belong to another.
func (m *memory) belongs(at time.Time, cluster uint64) {
	if cluster == 0 || cluster == m.cluster {
		return
	}
	if m.cluster != 0 {
		m.hour.buckets, m.day.buckets, m.events = nil, nil, nil
		m.revision, m.leader, m.findings, m.roster, m.rumour = 0, 0, nil, nil, nil
		clear(m.starts)
		m.happened(at, "begun", "the members belong to another cluster than before; the history begins anew")
	}
	m.cluster = cluster
}

// rates returns the requests of each kind per second since the examination before. A process that
// is new, or has restarted, counts from the next one on.
func (m *memory) rates(f *doctor.Facts) (rates [kinds]float64, ok bool) {
	now := make(map[string][kinds]float64)
	past := f.Now.Sub(m.at).Seconds()
	for _, r := range f.Received() {
		before, known := m.received[r.Process]
		now[r.Process] = r.Counts
		for k := range r.Counts {
			if known && past > 0 && r.Counts[k] >= before[k] {
				rates[k] += (r.Counts[k] - before[k]) / past
				ok = true
			}
		}
	}
	m.received = now
	return rates, ok
}
