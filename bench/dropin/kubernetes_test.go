//go:build kubernetes

// The example takes many modules from the module proxy, so its test has a build tag and a make
// target.

package dropin

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

// noticed is far longer than our client needs to leave a frozen member on a busy machine, and far
// shorter than the program makes calls.
const noticed = 4 * time.Second

// TestKubernetes runs the program in dropin/examples/kubernetes with and without the replace,
// while a member freezes for good. With the official client calls go on failing. With the replace
// no read fails, and a write fails only if it was under way on that member: nobody can know its
// outcome.
func TestKubernetes(t *testing.T) {
	before := example(t, "kubernetes")
	after := example(t, "kubernetes")
	after.replaced(t)
	official, ours := before.build(t), after.build(t)
	for _, victim := range []string{"follower", "leader"} {
		t.Run(victim, func(t *testing.T) {
			reads, writes := frozen(t, official, victim == "leader")
			if 10*(reads.failed+writes.failed) < reads.made+writes.made || max(reads.last, writes.last) < noticed {
				t.Errorf(
					"the official client recovers as well, so the example shows nothing: reads %+v, writes %+v",
					reads,
					writes,
				)
			}
			reads, writes = frozen(t, ours, victim == "leader")
			if reads.failed > 0 || writes.last > noticed {
				t.Errorf("with the drop-in calls fail: reads %+v, writes %+v", reads, writes)
			}
		})
	}
}

// tally is what the program reports of one kind of calls.
type tally struct {
	made, failed int
	last         time.Duration // when the last failed call began
}

func parseTally(t *testing.T, kind, line string) (c tally) {
	t.Helper()
	_, err := fmt.Sscanf(line, kind+": %d made, %d failed", &c.made, &c.failed)
	if err != nil || c.made == 0 {
		t.Fatalf("%v: %s", err, line)
	}
	if _, rest, ok := strings.Cut(line, "begun after "); ok {
		var ms int
		if _, err := fmt.Sscanf(rest, "%d ms", &ms); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		c.last = time.Duration(ms) * time.Millisecond
	}
	return c
}

// frozen runs the program on a cluster of its own, and freezes a member when the program has
// warmed up.
func frozen(t *testing.T, program string, leader bool) (reads, writes tally) {
	t.Helper()
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
	victim := cluster.Leader(t)
	if !leader {
		victim = cluster.Followers(t)[0]
	}
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-endpoints", strings.Join(cluster.Endpoints(), ","), "-for", "8s")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for s := bufio.NewScanner(out); s.Scan(); {
		lines = append(lines, s.Text())
		if s.Text() == "warm" {
			if err := victim.Freeze(); err != nil {
				t.Error(err)
			}
		}
	}
	text := strings.Join(lines, "\n")
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, text, &errs)
	}
	t.Log(text)
	if len(lines) != 3 {
		t.Fatalf("it printed %q", text)
	}
	return parseTally(t, "reads", lines[1]), parseTally(t, "writes", lines[2])
}
