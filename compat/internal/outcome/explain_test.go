package outcome

import (
	"strings"
	"testing"
)

func read(t *testing.T, text string) []Explanation {
	t.Helper()
	all, err := ReadExplanations(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestJudge(t *testing.T) {
	all := read(t, `
# a comment
one,two  pkg  TestDiffers   differs         because of that
one      pkg  TestFlakes    official-fails  it is a race of its own
one      pkg  (package)     official-fails  leaks
four     pkg  TestChance    may-differ      whom it meets first
three    pkg  TestSkips*    skips           needs a disk
`)
	for _, c := range []struct {
		name     string
		suite    string
		official bool
		results  []Result
		good     bool
		stale    int
	}{
		{"as explained", "one", false, []Result{
			{Package: "pkg", Test: "TestDiffers", Status: Failed}, {Package: "pkg", Test: "TestFlakes", Status: Failed},
		}, true, 0},
		{"may pass", "one", false, []Result{{Package: "pkg", Test: "TestDiffers/sub", Status: Hung}, {
			Package: "pkg", Test: "TestFlakes", Status: Passed,
		}}, true, 0},
		{"explained in vain", "two", false, []Result{{Package: "pkg", Test: "TestDiffers", Status: Passed}}, false, 1},
		{"skipped is not different", "two", false, []Result{
			{Package: "pkg", Test: "TestDiffers", Status: Skipped},
		}, false, 1},
		{"gone", "two", false, []Result{{Package: "pkg", Test: "TestDiffersNot", Status: Passed}}, false, 1},
		{"package not run", "two", false, []Result{{Package: "other", Test: "TestA", Status: Passed}}, true, 0},
		{"not explained", "two", false, []Result{
			{Package: "pkg", Test: "TestDiffers", Status: Failed}, {Package: "pkg", Test: "TestNew", Status: Failed},
		}, false, 0},
		{"of another package", "two", false, []Result{
			{Package: "other", Test: "TestDiffers", Status: Failed},
		}, false, 0},
		{"official must pass", "two", true, []Result{{Package: "pkg", Test: "TestDiffers", Status: Failed}}, false, 0},
		{"official passes", "two", true, []Result{{Package: "pkg", Test: "TestDiffers", Status: Passed}}, true, 0},
		{"official flakes", "one", true, []Result{
			{Package: "pkg", Test: "TestFlakes", Status: Hung}, {Package: "pkg", Test: "TestDiffers", Status: Passed},
		}, true, 0},
		{"skips", "three", true, []Result{{Package: "pkg", Test: "TestSkips", Status: Skipped}}, true, 0},
		{"all that begin so", "three", true, []Result{
			{Package: "pkg", Test: "TestSkipsToo", Status: Skipped},
		}, true, 0},
		{"by chance", "four", false, []Result{{Package: "pkg", Test: "TestChance", Status: Failed}}, true, 0},
		{"not by chance", "four", false, []Result{{Package: "pkg", Test: "TestChance", Status: Passed}}, true, 0},
		{"official has no chance", "four", true, []Result{
			{Package: "pkg", Test: "TestChance", Status: Failed},
		}, false, 0},
		{"skips no longer", "three", false, []Result{{Package: "pkg", Test: "TestSkips", Status: Passed}}, true, 0},
		{"skips by surprise", "three", false, []Result{
			{Package: "pkg", Test: "TestSkips", Status: Skipped}, {Package: "pkg", Test: "TestAfter", Status: Skipped},
		}, false, 0},
		{"fails instead of skipping", "three", false, []Result{
			{Package: "pkg", Test: "TestSkips", Status: Failed},
		}, false, 0},
		{"the package itself", "one", false, []Result{{Package: "pkg", Test: "TestDiffers", Status: Failed}, {
			Package: "pkg", Test: "TestFlakes", Status: Passed,
		}, {Package: "pkg", Test: Package, Status: Failed}}, true, 0},
	} {
		v := Judge(c.suite, c.results, all, c.official)
		if v.Good() != c.good || len(v.Stale) != c.stale {
			t.Errorf("%s: good: %v, stale: %v; want %v, %d", c.name, v.Good(), v.Stale, c.good, c.stale)
		}
	}
}

func TestBadExplanations(t *testing.T) {
	for text, want := range map[string]string{
		"one pkg TestA differs":          "line 1: want suites",
		"\none pkg TestA else a reason":  `line 2: class "else"`,
		"one pkg TestA official-fails x": "",
	} {
		_, err := ReadExplanations(strings.NewReader(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
