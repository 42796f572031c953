// Package outcome turns the events of `go test -json` into the results of tests, and compares them
// with the explanations in a file. It runs nothing and reads no clock.
package outcome

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Status says how a test ended.
type Status string

const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped"
	Hung    Status = "hung" // it ran when its package was ended because no test began or ended any more
)

// Names of results that belong to no test.
const (
	Build   = "(build)"   // the package does not build
	Package = "(package)" // the package fails although no test does, for instance because it leaks goroutines
)

// Result is the end of one test. A test with subtests has a result only if it failed by itself.
type Result struct {
	Package string  `json:"package"` // below the module's root
	Test    string  `json:"test"`
	Status  Status  `json:"status"`
	Seconds float64 `json:"seconds"`
	Output  string  `json:"output,omitempty"` // the end of the output of a test that did not pass
}

// event is what `go doc test2json` describes.
type event struct {
	Action      string
	Package     string
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// A test is in tests from its start on.
//
//	run -> (pause -> cont)* -> pass, fail or skip
//
// A test that pauses waits for its turn beside others. Subtests end before their parents.
type test struct {
	waits  bool
	ended  bool
	failed bool // it or a subtest of it
	parent bool // it has subtests
	out    tail
}

// Collector follows one run of one package's test binary. It is not safe for concurrent use.
type Collector struct {
	pkg      string
	tests    map[string]*test
	results  []Result
	rest     tail // output that belongs to no test
	unbuilt  bool
	panicked bool // a test that ended also ended the binary
	ran      bool // the binary printed PASS or FAIL: every test had its turn
	passed   bool // the package did not fail
}

// NewCollector starts to follow a package. Its results have the name pkg.
func NewCollector(pkg string) *Collector {
	return &Collector{pkg: pkg, tests: map[string]*test{}}
}

// Read reads events until r ends, and calls moved whenever a test starts or ends.
func (c *Collector) Read(r io.Reader, moved func()) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 && c.take(line) {
			moved()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the events of %s: %w", c.pkg, err)
		}
	}
}

func (c *Collector) take(line []byte) (moved bool) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		// A message of the go command itself, for instance of a module that it cannot download.
		c.rest.add(string(line))
		return false
	}
	t := c.tests[e.Test]
	switch e.Action {
	case "build-output":
		c.rest.add(e.Output)
	case "run":
		c.tests[e.Test] = &test{}
		if p := c.parent(e.Test); p != "" {
			c.tests[p].parent = true
		}
		return true
	case "pause", "cont":
		if t != nil {
			t.waits = e.Action == "pause"
		}
		return true
	case "output":
		if t == nil {
			c.rest.add(e.Output)
			c.ran = c.ran || e.Output == "PASS\n" || e.Output == "FAIL\n"
			break
		}
		t.out.add(e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			c.passed = e.Action != "fail"
			c.unbuilt = e.FailedBuild != "" || strings.Contains(c.rest.String(), "[setup failed]")
		} else if t != nil {
			c.end(e, t)
		}
		return true
	}
	return false
}

func (c *Collector) end(e event, t *test) {
	status := map[string]Status{"pass": Passed, "skip": Skipped, "fail": Failed}[e.Action]
	c.panicked = c.panicked || status == Failed && strings.Contains(t.out.String(), "\npanic: ")
	c.add(Result{Package: c.pkg, Test: e.Test, Status: status, Seconds: e.Elapsed})
}

// add ends a test. A parent that only passes on the results of its subtests gives no result.
func (c *Collector) add(r Result) {
	t := c.tests[r.Test]
	bySubtest := t.failed
	t.ended = true
	bad := r.Status == Failed || r.Status == Hung
	for name := r.Test; bad && name != ""; name = c.parent(name) {
		c.tests[name].failed = true
	}
	if t.parent && (bySubtest || !bad) {
		return
	}
	if r.Status != Passed {
		r.Output = t.out.String()
	}
	t.out = tail{}
	c.results = append(c.results, r)
}

// Finish records that the binary has ended; hung means that it was ended because no test began or
// ended any more. The tests that were running are at fault. Tests that waited, or that ran beside
// one that panicked, get no result and can be run again. So can tests that skipped themselves
// after another one failed: etcd's tests do so if that one left goroutines behind.
func (c *Collector) Finish(hung bool) {
	c.finish(hung)
	first := slices.IndexFunc(c.results, Result.Bad)
	if first < 0 {
		return
	}
	done := c.results[:first:first]
	for _, r := range c.results[first:] {
		if top, _, _ := strings.Cut(r.Test, "/"); c.onlySkips(top) {
			c.tests[top].ended = false
			c.ran = false
			continue
		}
		done = append(done, r)
	}
	c.results = done
}

func (c *Collector) onlySkips(test string) bool {
	return c.tests[test] != nil && !slices.ContainsFunc(c.results, func(r Result) bool {
		return r.Status != Skipped && (r.Test == test || strings.HasPrefix(r.Test, test+"/"))
	})
}

func (c *Collector) finish(hung bool) {
	status := Failed
	if hung {
		status = Hung
	}
	var running []string
	for name, t := range c.tests {
		if !t.ended && !t.waits && !(c.panicked && !hung) {
			running = append(running, name)
		}
	}
	slices.SortFunc(running, func(a, b string) int {
		if d := strings.Count(b, "/") - strings.Count(a, "/"); d != 0 {
			return d // subtests first
		}
		return strings.Compare(a, b)
	})
	for _, name := range running {
		c.add(Result{Package: c.pkg, Test: name, Status: status})
	}
	if c.passed || slices.ContainsFunc(c.results, Result.Bad) {
		return
	}
	r := Result{Package: c.pkg, Test: Package, Status: status, Output: c.rest.String()}
	if c.unbuilt {
		r.Test = Build
	}
	c.results = append(c.results, r)
}

// Bad reports whether the result has to be explained.
func (r Result) Bad() bool { return r.Status == Failed || r.Status == Hung }

// Results returns the results in the order in which the tests ended.
func (c *Collector) Results() []Result { return c.results }

// Complete reports whether every test had its turn, or none will ever have one.
func (c *Collector) Complete() bool { return c.ran || c.unbuilt }

// Ended returns the names of the tests (not subtests) that have ended and need not be run again.
func (c *Collector) Ended() []string {
	var names []string
	for name, t := range c.tests {
		if t.ended && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// parent returns the test that a subtest belongs to, or "". The subtest's own name may have
// slashes.
func (c *Collector) parent(name string) string {
	for {
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return ""
		}
		if name = name[:i]; c.tests[name] != nil {
			return name
		}
	}
}

// maxOutput bounds how much of a test's output is kept. It is the end that is kept, which has the
// failure. Some tests write megabytes of logs.
const maxOutput = 1 << 20

// tail keeps the end of an output.
type tail struct{ text []byte }

func (t *tail) add(s string) {
	t.text = append(t.text, s...)
	if len(t.text) > 2*maxOutput {
		t.text = append([]byte(nil), t.text[len(t.text)-maxOutput:]...)
	}
}

func (t *tail) String() string { return string(t.text[max(0, len(t.text)-maxOutput):]) }
