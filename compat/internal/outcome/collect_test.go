package outcome

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// run makes the go command test one file, as the program does. If quitAt is not empty, it ends the
// tests with SIGQUIT once that test has begun.
func run(t *testing.T, source, quitAt string, skip ...string) *Collector {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module m\ngo 1.26\n", "m_test.go": "package m\n" + source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"test", "-json", "-count=1", "-vet=off", "-timeout=1m"}
	if len(skip) > 0 {
		args = append(args, "-skip", "^("+strings.Join(skip, "|")+")$")
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := NewCollector("pkg")
	err = c.Read(out, func() {
		if quitAt != "" && c.tests[quitAt] != nil {
			quitAt = ""
			time.AfterFunc(100*time.Millisecond, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGQUIT) })
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	return c
}

func want(t *testing.T, c *Collector, lines ...string) {
	t.Helper()
	var got []string
	for _, r := range c.Results() {
		got = append(got, r.Test+" "+string(r.Status))
	}
	if !slices.Equal(got, lines) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(lines, "\n  "))
	}
}

func TestOrdinaryEnds(t *testing.T) {
	c := run(t, `import "testing"
func TestA(t *testing.T) {}
func TestB(t *testing.T) { t.Skip("not here") }
func TestC(t *testing.T) { t.Error("because") }
func TestD(t *testing.T) { t.Run("x", func(t *testing.T) {}); t.Run("y/z", func(t *testing.T) { t.Fail() }) }
func TestE(t *testing.T) { t.Run("x", func(t *testing.T) {}); t.Fail() }
`, "")
	c.Finish(false)
	want(
		t,
		c,
		"TestA passed",
		"TestB skipped",
		"TestC failed",
		"TestD/x passed",
		"TestD/y/z failed",
		"TestE/x passed",
		"TestE failed",
	)
	if !c.Complete() {
		t.Error("not complete")
	}
	if got := KeyLines(c.Results()[2].Output); got != "m_test.go:5: because" {
		t.Errorf("key lines: %q", got)
	}
	if got := KeyLines(c.Results()[1].Output); got != "m_test.go:4: not here" {
		t.Errorf("key lines: %q", got)
	}
}

// TestPanic: the test that panics is at fault, not those that waited or ran beside it. They have
// their turn later.
func TestPanic(t *testing.T) {
	source := `import ("testing"; "time")
func TestA(t *testing.T) {}
func TestBeside(t *testing.T) { t.Parallel(); time.Sleep(time.Second) }
func TestBoom(t *testing.T) { t.Parallel(); panic("boom") }
func TestLater(t *testing.T) {}
`
	c := run(t, source, "")
	c.Finish(false)
	want(t, c, "TestA passed", "TestLater passed", "TestBoom failed")
	if c.Complete() {
		t.Error("complete, although TestBeside had no turn")
	}
	again := run(t, source, "", c.Ended()...)
	again.Finish(false)
	want(t, again, "TestBeside passed")
	if !again.Complete() {
		t.Error("not complete")
	}
}

// TestExit: nothing shows which test ended the binary, so the one that ran is at fault.
func TestExit(t *testing.T) {
	c := run(t, `import ("testing"; "os")
func TestWaits(t *testing.T) { t.Parallel() }
func TestExits(t *testing.T) { t.Run("x", func(t *testing.T) { os.Exit(3) }) }
`, "")
	c.Finish(false)
	want(t, c, "TestExits/x failed")
	if got := c.Ended(); !slices.Equal(got, []string{"TestExits"}) || c.Complete() {
		t.Errorf("ended: %v, complete: %v", got, c.Complete())
	}
}

// TestSkipAfterFailure: a test that skips itself after a failure is run again, one that did before
// is not.
func TestSkipAfterFailure(t *testing.T) {
	source := `import "testing"
var dirty bool
func TestAlways(t *testing.T) { t.Skip("always") }
func TestDirt(t *testing.T) { dirty = true; t.Error("left something") }
func TestAfter(t *testing.T) { if dirty { t.Skip("dirty") } }
func TestPart(t *testing.T) { t.Run("a", func(t *testing.T) {}); t.Run("b", func(t *testing.T) { t.Skip("always") }) }
`
	c := run(t, source, "")
	c.Finish(false)
	want(t, c, "TestAlways skipped", "TestDirt failed", "TestPart/a passed", "TestPart/b skipped")
	if c.Complete() || slices.Contains(c.Ended(), "TestAfter") {
		t.Errorf("complete: %v, ended: %v", c.Complete(), c.Ended())
	}
	again := run(t, source, "", c.Ended()...)
	again.Finish(false)
	want(t, again, "TestAfter passed")
	if !again.Complete() {
		t.Error("not complete")
	}
}

func TestHang(t *testing.T) {
	c := run(t, `import "testing"
func TestWaits(t *testing.T) { t.Parallel() }
func TestHangs(t *testing.T) { <-t.Context().Done() }
`, "TestHangs")
	c.Finish(true)
	want(t, c, "TestHangs hung")
	if out := c.Results()[0].Output; !strings.Contains(out, "goroutine ") {
		t.Errorf("the stacks are missing: %s", out)
	}
}

func TestPackageItself(t *testing.T) {
	c := run(t, `import ("testing"; "os"; "fmt")
func TestMain(m *testing.M) { m.Run(); fmt.Println("unexpected goroutines"); os.Exit(1) }
func TestA(t *testing.T) {}
`, "")
	c.Finish(false)
	want(t, c, "TestA passed", "(package) failed")
	if got := KeyLines(c.Results()[1].Output); !strings.Contains(got, "unexpected goroutines") {
		t.Errorf("key lines: %q", got)
	}
	if !c.Complete() {
		t.Error("not complete")
	}
}

func TestDoesNotBuild(t *testing.T) {
	c := run(t, "func TestA(t *testing.T) {}", "")
	c.Finish(false)
	want(t, c, "(build) failed")
	if got := KeyLines(c.Results()[0].Output); !strings.Contains(got, "undefined: testing") {
		t.Errorf("key lines: %q", got)
	}
	if !c.Complete() {
		t.Error("would be tried again")
	}
}

func TestImportThatCannotBeHad(t *testing.T) {
	c := run(t, "import _ \"m/nothing/of/this/name\"", "")
	c.Finish(false)
	want(t, c, "(build) failed")
	if !c.Complete() {
		t.Error("would be tried again")
	}
}
