package main

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestDemo(t *testing.T) {
	begun := time.Now()
	p := start(t, "demo")
	if code := p.wait(); code != 0 {
		t.Fatalf("exit status %d:\n%s", code, p.output())
	}
	if took := time.Since(begun); took > 45*time.Second {
		t.Errorf("took %v, more than 45 s", took)
	}
	out := p.output()
	for _, want := range []string{
		"put demo/greeting = hello", "watch saw PUT", "demo/owner did not exist: written", "demo/owner exists: read me",
		"watch saw it deleted after", "candidate-1 leads", "killing candidate-1", "candidate-2 leads", "after the kill",
		"killing greeter-1", "greeter-2, which drains", "failed          0 of", "freezing m", "thawing m",
		"No call failed, no event was lost, and the lease was kept.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
	table := regexp.MustCompile(
		`(?s)calls +\d{3,} \(.*failures +0\n.*slowest call.*watch events +(\d+) of (\d+)\n.*lease renewals +\d+`,
	)
	if m := table.FindStringSubmatch(out); m == nil || m[1] != m[2] {
		t.Errorf("table:\n%s", out)
	}
	for line := range strings.Lines(out) {
		if len([]rune(line)) > 81 {
			t.Errorf("a line longer than 80: %s", line)
		}
	}
	p.wantNothingLeft(true)
}

// Ctrl-C while a member is frozen ends everything, and so does a kill of the program.
func TestDemoInterrupted(t *testing.T) {
	p := start(t, "demo")
	p.await("frozen ")
	p.signal(syscall.SIGINT)
	if code := p.wait(); code != 130 {
		t.Errorf("exit status %d, want 130:\n%s", code, p.output())
	}
	p.wantNothingLeft(true)

	p = start(t, "demo")
	p.await("frozen ")
	p.signal(syscall.SIGKILL)
	p.wait()
	p.wantNothingLeft(false)
}

// If the reader closes the output, the demonstration ends, and nothing is left behind.
func TestDemoOutputClosed(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	p := startTo(t, write, "demo")
	if _, err := read.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	read.Close()
	if code := p.wait(); code != 141 || p.output() != "" { // silently, as all commands
		t.Errorf("exit status %d: %s", code, p.output())
	}
	p.wantNothingLeft(true)
}
