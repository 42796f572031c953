package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// TestStartup prints how long commands take from their start to their end, and the most expensive
// parts of the program's start. The goal is 50 ms; it is a figure, since machines differ.
func TestStartup(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	for _, args := range [][]string{{"version"}, {"get", "k", "--endpoints", cluster.Endpoints()[0]}} {
		var took []time.Duration
		for range 15 {
			begin := time.Now()
			if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", args[0], err, out)
			}
			took = append(took, time.Since(begin))
		}
		slices.Sort(took)
		t.Logf(
			"%s: median %v, fastest %v, slowest %v",
			args[0],
			took[len(took)/2].Round(100*time.Microsecond),
			took[0].Round(100*time.Microsecond),
			took[len(took)-1].Round(100*time.Microsecond),
		)
	}
	cmd := exec.Command(program, "version")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	// init PACKAGE @START ms, TIME ms clock, ...
	type cost struct {
		name string
		took time.Duration
	}
	var (
		costs []cost
		all   time.Duration
	)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 6 || f[0] != "init" {
			continue
		}
		d, err := time.ParseDuration(f[4] + f[5])
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		costs = append(costs, cost{f[1], d})
		all += d
	}
	if len(costs) < 10 {
		t.Fatalf("the program says nothing of its packages:\n%s", out)
	}
	slices.SortFunc(costs, func(a, b cost) int { return int(b.took - a.took) })
	t.Logf("of it %v for the packages' own start; most:", all.Round(100*time.Microsecond))
	for _, c := range costs[:5] {
		t.Logf("%8v %s", c.took, c.name)
	}
}
