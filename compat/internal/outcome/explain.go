package outcome

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Class says why a test is expected not to pass.
type Class string

const (
	// Differs: the test requires something that would make the client worse for its users. It has
	// to fail: if it passes, the explanation is outdated.
	Differs Class = "differs"
	// MayDiffer: like Differs, but it happens only by chance. The test may pass.
	MayDiffer Class = "may-differ"
	// OfficialFails: the test fails or flakes with the official client too. It may pass.
	OfficialFails Class = "official-fails"
	// Skips: the test skips itself with either client. A test that skips without being listed may
	// hide a difference: etcd's tests skip when an earlier one left goroutines behind.
	Skips Class = "skips"
)

// Explanation is one line of the file of explanations.
type Explanation struct {
	Suites  []string
	Package string
	Test    string // with its subtests; a * at the end means all tests that begin so
	Class   Class
	Reason  string

	line int
}

// ReadExplanations reads a file with one explanation per line: the suites separated by commas, the
// package below its module's root, the test (see [Explanation]), the class, and the reason in
// words. Empty lines and those that begin with # are ignored.
func ReadExplanations(r io.Reader) ([]Explanation, error) {
	var all []Explanation
	in := bufio.NewScanner(r)
	for n := 1; in.Scan(); n++ {
		text := strings.TrimSpace(in.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		f := strings.Fields(text)
		if len(f) < 5 {
			return nil, fmt.Errorf("line %d: want suites, package, test, class and reason: %q", n, text)
		}
		e := Explanation{
			Suites: strings.Split(f[0], ","), Package: f[1], Test: f[2], Class: Class(f[3]),
			Reason: strings.Join(f[4:], " "), line: n,
		}
		if !slices.Contains([]Class{Differs, MayDiffer, OfficialFails, Skips}, e.Class) {
			return nil, fmt.Errorf(
				"line %d: class %q is none of %s, %s, %s and %s",
				n,
				e.Class,
				Differs,
				MayDiffer,
				OfficialFails,
				Skips,
			)
		}
		all = append(all, e)
	}
	return all, in.Err()
}

// of reports whether the explanation is for this test.
func (e Explanation) of(suite string, r Result) bool {
	beginning, several := strings.CutSuffix(e.Test, "*")
	if !several {
		beginning += "/"
	}
	return slices.Contains(e.Suites, suite) && e.Package == r.Package &&
		(r.Test == e.Test || strings.HasPrefix(r.Test, beginning))
}

// Verdict is the meaning of a suite's results.
type Verdict struct {
	Suite                         string
	Passed, Failed, Skipped, Hung int
	NotPassed                     []Judged // failed, hung or skipped
	// Stale has explanations of class Differs whose test passed, and those of any class whose
	// package ran without such a test.
	Stale []string
}

// Judged is a result that is not Passed and its Explanation, nil if there is none.
type Judged struct {
	Result
	Explanation *Explanation
}

// Good reports whether everything that did not pass is explained, and everything explained as
// different did not pass.
func (v Verdict) Good() bool {
	return len(v.Stale) == 0 && !slices.ContainsFunc(v.NotPassed, func(j Judged) bool { return j.Unexplained() })
}

// Groups joins results that one explanation covers, in the order of the first of each. An
// unexplained result is a group by itself.
func (v Verdict) Groups() [][]Judged {
	var groups [][]Judged
	at := make(map[*Explanation]int)
	for _, j := range v.NotPassed {
		i, ok := at[j.Explanation]
		if !ok || j.Explanation == nil {
			i = len(groups)
			groups = append(groups, nil)
			at[j.Explanation] = i
		}
		groups[i] = append(groups[i], j)
	}
	return groups
}

// Unexplained reports whether the result makes the run fail.
func (j Judged) Unexplained() bool { return j.Status != Passed && j.Explanation == nil }

// excuses reports whether a test of this class may end so.
func (c Class) excuses(s Status, official bool) bool {
	switch c {
	case Differs, MayDiffer:
		return !official && (s == Failed || s == Hung)
	case OfficialFails:
		return s == Failed || s == Hung
	case Skips:
		return s == Skipped
	}
	return false
}

// Judge compares the results of a suite with the explanations. With official the results are those
// of the official client, for which only OfficialFails is an excuse.
func Judge(suite string, results []Result, all []Explanation, official bool) Verdict {
	v := Verdict{Suite: suite}
	for _, r := range results {
		switch r.Status {
		case Passed:
			v.Passed++
			continue
		case Failed:
			v.Failed++
		case Hung:
			v.Hung++
		case Skipped:
			v.Skipped++
		}
		j := Judged{Result: r}
		for i, e := range all {
			if e.of(suite, r) && e.Class.excuses(r.Status, official) {
				j.Explanation = &all[i]
				break
			}
		}
		v.NotPassed = append(v.NotPassed, j)
	}
	for _, e := range all {
		if why := e.stale(suite, results, official); why != "" {
			v.Stale = append(v.Stale, fmt.Sprintf("line %d: %s %s: %s", e.line, e.Package, e.Test, why))
		}
	}
	return v
}

func (e Explanation) stale(suite string, results []Result, official bool) string {
	if !slices.Contains(e.Suites, suite) {
		return ""
	}
	var ran, met, bad bool
	for _, r := range results {
		ran = ran || r.Package == e.Package && r.Test != Build
		if e.of(suite, r) {
			met = true
			bad = bad || r.Bad()
		}
	}
	whole := e.Test == Package || e.Test == Build // these have a result only if it is bad
	switch {
	case ran && !met && !whole:
		return "there is no such test"
	case ran && !bad && e.Class == Differs && !official:
		return "passed, but is explained as different"
	}
	return ""
}
