package discovery

import (
	"slices"
	"strconv"
	"testing"
	"time"
)

// Instances that vanish after the return of a view are held for a while, and longer while others
// come back, up to a limit. Draining ones are not held.
func TestVanishedInstancesAreHeldAfterAReturn(t *testing.T) {
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
	if due := g.due(at(12.9)); len(due) > 0 || g.count[held] != 2 {
		t.Errorf("%v, %d held", due, g.count[held])
	}
	due := g.due(at(13))
	if slices.Sort(due); !slices.Equal(due, []string{"b", "c"}) || g.count[held] != 0 {
		t.Errorf("%v, %d held", due, g.count[held])
	}
	if keep, _ := g.keeps("d", in, 5, at(13)); keep {
		t.Error("one that vanished after the hold is kept")
	}
	// One instance comes back every second. The last one never does.
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

// Soon after an election a vanished instance is kept for a moment. It is kept longer while others
// come back, and after another election, up to a limit. Protection works as at other times.
func TestVanishedInstancesAreKeptSoonAfterAnElection(t *testing.T) {
	now := time.Unix(1000, 0)
	at := func(seconds float64) time.Time { return now.Add(time.Duration(seconds * float64(time.Second))) }
	in := &Instance{}
	g := &guard{hold: 10 * time.Second}
	g.saw(7, now)
	if keep, _ := g.keeps("early", in, 5, now); keep {
		t.Error("kept, although the first term that is seen is no election")
	}
	g.saw(8, at(1))
	if keep, _ := g.keeps("drains", &Instance{State: Draining}, 5, at(1)); keep {
		t.Error("one that drained is kept")
	}
	for _, key := range []string{"a", "b", "c"} {
		if keep, first := g.keeps(key, in, 5, at(1)); !keep || first || g.count[held] > 0 {
			t.Errorf("%s: %v %v, %d held", key, keep, first, g.count[held])
		}
	}
	if due := g.due(at(2.9)); len(due) > 0 {
		t.Errorf("%v", due)
	}
	if g.registered("a", at(2.9)) {
		t.Error("an instance that came back counts as held")
	}
	g.saw(9, at(4))
	if due := g.due(at(7.9)); len(due) > 0 {
		t.Errorf("%v", due)
	}
	due := g.due(at(8))
	if slices.Sort(due); !slices.Equal(due, []string{"b", "c"}) {
		t.Errorf("%v", due)
	}
	g.keeps("last", in, 5, at(100))
	for i := range 100 {
		key := strconv.Itoa(i)
		g.keeps(key, in, 100, at(100+float64(i)))
		g.registered(key, at(100+float64(i)))
	}
	if due := g.due(at(159.9)); len(due) > 0 {
		t.Errorf("%v", due)
	}
	if due := g.due(at(160)); !slices.Equal(due, []string{"last"}) {
		t.Errorf("%v", due)
	}
	if keep, _ := g.keeps("d", in, 5, at(4).Add(thawFor)); keep {
		t.Error("one that vanished long after is kept")
	}
	off := &guard{elected: now}
	if keep, _ := off.keeps("a", in, 5, at(1)); keep {
		t.Error("kept although the hold is 0")
	}
	protecting := &guard{
		hold: 10 * time.Second, elected: now,
		Protection: Protection{Share: 0.5, Window: time.Minute, Hold: time.Minute},
	}
	var firsts []bool
	for i := range 10 {
		_, first := protecting.keeps(strconv.Itoa(i), in, 10, at(1))
		firsts = append(firsts, first)
	}
	if slices.Index(firsts, true) != 5 || protecting.count[thawed] != 5 || protecting.count[protected] != 5 {
		t.Errorf("%v, %v", firsts, protecting.count)
	}
}
