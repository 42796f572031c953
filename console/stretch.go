package console

import (
	"cmp"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/fairlead-go/fairlead/internal/doctor"
)

// stretch is a period in steps, the latest of which are kept.
type stretch struct {
	step    time.Duration
	buckets []bucket // the oldest first; steps without an examination have none
}

// bucket is a step: the means of rates, the last of sizes, the largest of timings.
type bucket struct {
	slot        int64 // its time divided by the length of a step
	rates       int
	changes     float64        // their sum
	requests    [kinds]float64 // the sums over counts examinations
	counts      int
	size, quota int64
	members     map[string]timings
}

func (s *stretch) add(m moment) {
	slot := m.at.UnixMilli() / s.step.Milliseconds()
	if n := len(s.buckets); n == 0 || s.buckets[n-1].slot != slot {
		s.buckets = append(s.buckets, bucket{slot: slot, members: make(map[string]timings)})
	}
	for len(s.buckets) > 0 && s.buckets[0].slot <= slot-memoryBuckets {
		s.buckets = s.buckets[1:]
	}
	b := &s.buckets[len(s.buckets)-1]
	if m.changes >= 0 {
		b.rates++
		b.changes += m.changes
	}
	if m.counted {
		b.counts++
		for k, n := range m.requests {
			b.requests[k] += n
		}
	}
	if m.size > 0 {
		b.size, b.quota = m.size, m.quota
	}
	for name, t := range m.members {
		if was, ok := b.members[name]; ok {
			t = timings{max(was.answer, t.answer), max(was.fsync, t.fsync), max(was.commit, t.commit)}
		}
		b.members[name] = t
	}
}

// recollection is a span for a page; unknown values are null.
type recollection struct {
	Step    int64      `json:"step"` // milliseconds
	Span    int64      `json:"span"`
	Now     int64      `json:"now"` // when the last examination was
	At      []int64    `json:"at"`  // where the steps begin
	Changes []*float64 `json:"changes"`
	// Requests are the requests of each kind per second; nil if the metrics may not be read.
	Requests []requestCourse `json:"requests,omitempty"`
	Size     []*float64      `json:"size"`
	Quota    int64           `json:"quota"` // 0 if the server does not report it
	// Full is the number of milliseconds until the quota is reached if the database goes on growing
	// as in this span; 0 if it does not grow, or needs more than a month.
	Full    int64     `json:"full,omitempty"`
	Members []courses `json:"members"`
	Events  []event   `json:"events"`
	File    bool      `json:"file,omitempty"` // the past is kept in a file
}

// courses are a member's timings, in milliseconds.
type courses struct {
	Name   string     `json:"name"`
	Answer []*float64 `json:"answer"`
	Fsync  []*float64 `json:"fsync"`
	Commit []*float64 `json:"commit"`
}

// requestCourse is the requests of a kind over a span.
type requestCourse struct {
	Name   string     `json:"name"`
	Values []*float64 `json:"values"`
}

// requestsOver returns the courses of all kinds with requests.
func requestsOver(list []bucket) (all []requestCourse) {
	for k := range doctor.Kinds {
		c, any := requestCourse{Name: k.String()}, false
		for _, b := range list {
			rate := -1.0
			if b.counts > 0 {
				rate = b.requests[k] / float64(b.counts)
				any = any || rate > 0
			}
			c.Values = append(c.Values, known(rate))
		}
		if any {
			all = append(all, c)
		}
	}
	return all
}

func known(v float64) *float64 {
	if v < 0 {
		return nil
	}
	return &v
}

// recall returns a span.
func (m *memory) recall(s *stretch) *recollection {
	m.mu.Lock()
	defer m.mu.Unlock()
	step := s.step.Milliseconds()
	r := &recollection{
		Step:    step,
		Span:    step * memoryBuckets,
		At:      []int64{},
		Changes: []*float64{},
		Size:    []*float64{},
		Members: []courses{},
		Events:  []event{},
	}
	if !m.at.IsZero() {
		r.Now = m.at.UnixMilli()
	}
	var names []string
	for _, b := range s.buckets {
		for name := range b.members {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	for _, name := range names {
		r.Members = append(r.Members, courses{Name: name})
	}
	for _, b := range s.buckets {
		r.At = append(r.At, b.slot*step)
		rate, size := -1.0, -1.0
		if b.rates > 0 {
			rate = b.changes / float64(b.rates)
		}
		if b.size > 0 {
			size, r.Quota = float64(b.size), b.quota
		}
		r.Changes, r.Size = append(r.Changes, known(rate)), append(r.Size, known(size))
		for i := range r.Members {
			c := &r.Members[i]
			t, ok := b.members[c.Name]
			if !ok {
				t = timings{-1, -1, -1}
			}
			c.Answer, c.Fsync, c.Commit = append(
				c.Answer,
				known(t.answer),
			), append(
				c.Fsync,
				known(t.fsync),
			), append(
				c.Commit,
				known(t.commit),
			)
		}
	}
	r.Requests = requestsOver(s.buckets)
	for _, e := range m.events {
		if e.At > r.Now-r.Span {
			r.Events = append(r.Events, e)
		}
	}
	r.Full, r.File = full(r), m.path != ""
	return r
}

const (
	leastGrowth = 10 // the fewest steps that show how a database grows
	furthest    = 30 * 24 * time.Hour
)

// full returns the milliseconds until the quota is reached on the straight line that fits best; 0
// if there is no such line.
func full(r *recollection) int64 {
	var n, sx, sy, sxx, sxy, last float64
	for i, size := range r.Size {
		if size == nil {
			continue
		}
		x := float64(r.At[i] - r.At[0])
		n, sx, sy, sxx, sxy, last = n+1, sx+x, sy+*size, sxx+x*x, sxy+x**size, *size
	}
	below := n*sxx - sx*sx
	if n < leastGrowth || below <= 0 || r.Quota == 0 {
		return 0
	}
	growth := (n*sxy - sx*sy) / below // bytes per millisecond
	left := (float64(r.Quota) - last) / growth
	if growth <= 0 || left <= 0 || left > float64(furthest.Milliseconds()) {
		return 0
	}
	return int64(left)
}

// getMemory returns the last hour, or with span=day the last day.
func getMemory(r *request) (any, error) {
	m := r.session.owner.c.examiner.memory
	var past *recollection
	switch r.URL.Query().Get("span") {
	case "", "hour":
		past = m.recall(&m.hour)
	case "day":
		past = m.recall(&m.day)
	default:
		return nil, badRequest("span is hour or day")
	}
	past.with(changesFor(r))
	return past, nil
}

// with adds the changes that were made through the console to the events.
func (r *recollection) with(changes *changeList) {
	for _, ch := range changes.Changes {
		e := event{At: ch.Time.UnixMilli(), Kind: "change", Text: ch.Action + " " + ch.Target}
		if ch.User != "" {
			e.Text = ch.User + ": " + e.Text
		}
		if n := 200; len(e.Text) > n {
			for !utf8.RuneStart(e.Text[n]) {
				n--
			}
			e.Text = e.Text[:n] + "…"
		}
		if ch.Outcome != Done {
			e.Text += " (" + string(ch.Outcome) + ")"
		}
		if e.At > time.Now().UnixMilli()-r.Span {
			r.Events = append(r.Events, e)
		}
	}
	slices.SortStableFunc(r.Events, func(a, b event) int { return cmp.Compare(a.At, b.At) })
	r.Events = r.Events[max(0, len(r.Events)-2*maxEvents):]
}
