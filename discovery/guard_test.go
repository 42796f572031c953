package discovery

import (
	"slices"
	"strconv"
	"testing"
	"time"
)

// Instances that vanish after a return are held for the hold, and longer while others come back, up
// to a limit; draining ones are not.
func TestHold(t *testing.T) {
	now := time.Unix(1000, 0)
	at := func(seconds float64) time.Time { return now.Add(time.Duration(seconds * float64(time.Second))) }
	g := &guard{hold: 10 * time.Second}
	in := &Instance{}
	if keep, _ := g.keeps("early", in, 5, now); keep {
		t.Error("one that vanished before is kept")
	}
	g.back(now)
	if keep, _ := g.keeps("drains", &Instance{State: Draining}, 5, now); keep {
		t.Error("one that drained is kept")
	}
	for _, key := range []string{"a", "b", "c"} {
		if keep, first := g.keeps(key, in, 5, at(1)); !keep || first {
			t.Errorf("%s: %v %v", key, keep, first)
		}
	}
	if due := g.due(at(9.9)); len(due) > 0 {
		t.Errorf("%v", due)
	}
	g.registered("a", at(8))
	if due := g.due(at(12.9)); len(due) > 0 || g.held != 2 {
		t.Errorf("%v, %d held", due, g.held)
	}
	due := g.due(at(13))
	if slices.Sort(due); !slices.Equal(due, []string{"b", "c"}) || g.held != 0 {
		t.Errorf("%v, %d held", due, g.held)
	}
	if keep, _ := g.keeps("d", in, 5, at(13)); keep {
		t.Error("one that vanished after the hold is kept")
	}
	// One comes back every second, and the last one never does.
	g.back(now)
	g.keeps("last", in, 100, now)
	for i := range 100 {
		key := strconv.Itoa(i)
		g.keeps(key, in, 100, now)
		g.registered(key, at(float64(i)))
	}
	if due := g.due(at(59.9)); len(due) > 0 {
		t.Errorf("%v", due)
	}
	if due := g.due(at(60)); !slices.Equal(due, []string{"last"}) {
		t.Errorf("%v", due)
	}
}
