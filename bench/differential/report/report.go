// Package report records what a program saw as lines of text that can be compared. Where two runs
// of the same program differ for good reasons (ids of leases and members, first revisions), the
// difference is left out or replaced by a name.
package report

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/fairlead-go/fairlead/bench/differential/script"
)

// Report holds what each step of a program saw; the last entry is what came at the end.
type Report [][]string

// Recorder makes a report. Its methods may be called from several goroutines.
type Recorder struct {
	base      int64
	revisions script.Revisions

	mu     sync.Mutex
	leases map[int64]string
	steps  Report
}

// New begins a report. base is the store's revision before the program; others are counted from
// it.
func New(base int64, revisions script.Revisions) *Recorder {
	return &Recorder{base: base, revisions: revisions, leases: make(map[int64]string)}
}

// Step begins the next step.
func (r *Recorder) Step() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, nil)
}

// Add adds a line to the current step.
func (r *Recorder) Add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := len(r.steps) - 1
	r.steps[at] = append(r.steps[at], fmt.Sprintf(format, args...))
}

// Lease names a lease's id from now on.
func (r *Recorder) Lease(name string, id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id != 0 {
		r.leases[id] = name
	}
}

// Lines have marks in place of revisions until all revisions are known.
const markFormat = "\x01%d\x02"

var mark = regexp.MustCompile("\x01(-?[0-9]+)\x02")

// Report returns what has been recorded so far.
func (r *Recorder) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []int64
	r.each(func(text string) string {
		all = append(all, number(text))
		return text
	})
	slices.Sort(all)
	all = slices.Compact(all)
	return r.each(func(text string) string {
		n := number(text)
		if r.revisions == script.Counted {
			return fmt.Sprintf("r%+d", n-r.base)
		}
		at, _ := slices.BinarySearch(all, n)
		return fmt.Sprintf("#%d", at)
	})
}

func number(text string) int64 {
	n, _ := strconv.ParseInt(mark.FindStringSubmatch(text)[1], 10, 64)
	return n
}

// each replaces all marks, and the names of leases within keys.
func (r *Recorder) each(replace func(string) string) Report {
	var pairs []string
	for id, name := range r.leases {
		pairs = append(pairs, strconv.FormatInt(id, 16), "<"+name+">")
	}
	leases := strings.NewReplacer(pairs...)
	out := make(Report, len(r.steps))
	for i, lines := range r.steps {
		out[i] = []string{}
		for _, l := range lines {
			out[i] = append(out[i], leases.Replace(mark.ReplaceAllStringFunc(l, replace)))
		}
	}
	return out
}

// Difference is what one step saw with each client.
type Difference struct {
	Step         int // len(Program.Steps) for the end
	Theirs, Ours []string
}

// Compare lists the steps that saw different things.
func Compare(theirs, ours Report) []Difference {
	var list []Difference
	for i := range max(len(theirs), len(ours)) {
		d := Difference{Step: i}
		if i < len(theirs) {
			d.Theirs = theirs[i]
		}
		if i < len(ours) {
			d.Ours = ours[i]
		}
		if !slices.Equal(d.Theirs, d.Ours) {
			list = append(list, d)
		}
	}
	return list
}
