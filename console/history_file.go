package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/fairlead-go/fairlead/internal/wholefile"
)

const (
	// saveEvery is how often the memory is written to its file; it is also written at the end.
	saveEvery = time.Minute
	// fileForm is the version of the file's format. Other versions are refused.
	fileForm = 1
	// fileMost bounds the size that is read: a full memory of ten members takes about a megabyte.
	fileMost = 16 << 20
)

// keptMemory is a memory as the file has it.
type keptMemory struct {
	Form     int                    `json:"form"`
	Cluster  uint64                 `json:"cluster,string"` // its etcd id; 0 if no member answered yet
	Saved    time.Time              `json:"saved"`
	Revision int64                  `json:"revision"`
	Leader   uint64                 `json:"leader,string"`
	Starts   map[string]float64     `json:"starts"`
	Findings map[string]keptFinding `json:"findings"`
	Roster   map[uint64]listed      `json:"roster,omitempty"`
	Events   []event                `json:"events"`
	Hour     []keptBucket           `json:"hour"`
	Day      []keptBucket           `json:"day"`
}

type keptFinding struct {
	Title string `json:"title"`
	What  string `json:"what"`
	Since int64  `json:"since"`
}

type keptBucket struct {
	Slot     int64                 `json:"slot"`
	Rates    int                   `json:"rates,omitempty"`
	Changes  float64               `json:"changes,omitempty"`
	Requests [kinds]float64        `json:"requests"`
	Counts   int                   `json:"counts,omitempty"`
	Size     int64                 `json:"size,omitempty"`
	Quota    int64                 `json:"quota,omitempty"`
	Members  map[string][3]float64 `json:"members,omitempty"`
}

func keep(s *stretch) (list []keptBucket) {
	for _, b := range s.buckets {
		k := keptBucket{b.slot, b.rates, b.changes, b.requests, b.counts, b.size, b.quota, make(map[string][3]float64)}
		for name, t := range b.members {
			k.Members[name] = [3]float64{t.answer, t.fsync, t.commit}
		}
		list = append(list, k)
	}
	return list
}

func (s *stretch) restore(list []keptBucket) error {
	for i, k := range list {
		if k.Slot <= 0 || i > 0 && k.Slot <= list[i-1].Slot || len(list) > memoryBuckets {
			return errors.New("its steps are not in order")
		}
		b := bucket{k.Slot, k.Rates, k.Changes, k.Requests, k.Counts, k.Size, k.Quota, make(map[string]timings)}
		for name, t := range k.Members {
			b.members[name] = timings{t[0], t[1], t[2]}
		}
		s.buckets = append(s.buckets, b)
	}
	return nil
}

// load reads the memory from a file; a missing file is not an error.
func (m *memory) load(path string) error {
	m.path = path
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m.save() // so that a place that cannot be written is reported now
	}
	if err == nil && info.Size() > fileMost {
		err = fmt.Errorf("it has %d bytes, more than a history can have", info.Size())
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	var k keptMemory
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	if err == nil && k.Form != fileForm {
		err = fmt.Errorf("its format is %d, and this program reads %d", k.Form, fileForm)
	}
	if err == nil {
		err = errors.Join(m.hour.restore(k.Hour), m.day.restore(k.Day))
	}
	if err != nil {
		return fmt.Errorf("console: the history in %s cannot be read, move it away to begin anew: %w", path, err)
	}
	m.cluster, m.at, m.revision, m.leader = k.Cluster, k.Saved, k.Revision, k.Leader
	m.events, m.roster = k.Events, k.Roster
	for name, at := range k.Starts {
		m.starts[name] = at
	}
	m.findings = make(map[string]*finding)
	for key, f := range k.Findings {
		m.findings[key] = &finding{Title: f.Title, What: f.What, Since: f.Since, key: key}
	}
	return nil
}

// save writes the memory to a new file, which then replaces the old one, so that a crash leaves one
// of them.
func (m *memory) save() error {
	if m.path == "" {
		return nil
	}
	m.mu.Lock()
	k := keptMemory{
		Form:     fileForm,
		Cluster:  m.cluster,
		Saved:    m.at,
		Revision: m.revision,
		Leader:   m.leader,
		Starts:   m.starts,
		Findings: make(map[string]keptFinding),
		Roster:   m.roster,
		Events:   m.events,
		Hour:     keep(&m.hour),
		Day:      keep(&m.day),
	}
	for key, f := range m.findings {
		k.Findings[key] = keptFinding{f.Title, f.What, f.Since}
	}
	text, err := json.Marshal(&k)
	m.mu.Unlock()
	if err == nil {
		err = wholefile.Write(m.path, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("console: the history cannot be written: %w", err)
	}
	return nil
}

// keepOn saves from time to time. A failure is reported once, as an event, until saving works
// again.
func (m *memory) keepOn(now time.Time, last *time.Time, end bool) {
	if m.path == "" || !end && now.Sub(*last) < saveEvery {
		return
	}
	*last = now
	err := m.save()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err != nil && !m.unsaved:
		m.happened(now, "begun", err.Error())
	case err == nil && m.unsaved:
		m.happened(now, "over", "the history is written again")
	}
	m.unsaved = err != nil
}
