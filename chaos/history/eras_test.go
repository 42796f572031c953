package history

import (
	"testing"
	"time"
)

const s = time.Second

// restored is a history: a backup at revision 3, taken at 10 s; cut off at 20 s, back at 22 s,
// settled at 25 s. Lost are 4 and 5; the restored cluster has another 4.
func restored() *History {
	kept := []Event{{Key: "k", Value: "1", Rev: 2, Seen: s}, {Key: "l", Value: "2", Rev: 3, Seen: 2 * s}}
	return &History{
		Restore: &Restore{
			Backup: 10 * s, At: 20 * s, Back: 22 * s, Settled: 25 * s, Kept: 3,
			Lost: Truth{First: 2, Last: 5, Events: append(
				append([]Event(nil), kept...),
				Event{
					Key:   "k",
					Value: "3",
					Rev:   4,
					Seen:  12 * s,
				},
				Event{Key: "l", Rev: 5, Delete: true, Seen: 13 * s},
			)},
		},
		Truth: Truth{
			First:  2,
			Last:   4,
			Events: append(append([]Event(nil), kept...), Event{Key: "k", Value: "4", Rev: 4, Seen: 23 * s}),
		},
		End: 40 * s,
	}
}

func TestErasOfOperations(t *testing.T) {
	put := func(value string, call, end time.Duration, o Outcome) Op {
		return Op{Kind: Put, Keys: []string{"k"}, Value: value, Call: call, Return: end, Outcome: o}
	}
	for name, c := range map[string]struct {
		op            Op
		before, after bool
	}{
		"kept":                        {put("1", s, 2*s, OK), true, true},
		"lost":                        {put("3", 11*s, 12*s, OK), true, false},
		"after":                       {put("4", 22*s, 23*s, OK), false, true},
		"across, executed then":       {put("3", 19*s, 26*s, Unknown), true, false},
		"across, executed afterwards": {put("4", 19*s, 26*s, OK), false, true},
		"across, failed":              {put("9", 19*s, 26*s, Failed), true, true},
		"a read across": {
			Op{Kind: Get, Keys: []string{"k"}, Call: 19 * s, Return: 26 * s, Outcome: OK}, false, false,
		},
		"an old read across": {Op{
			Kind: Get, Keys: []string{"k"}, Call: 19 * s, Return: 26 * s, Outcome: OK, Serializable: true,
		}, false, false},
		"a read that was just in time": {
			Op{Kind: Get, Keys: []string{"k"}, Call: 19 * s, Return: 21 * s, Outcome: OK}, true, false,
		},
		"a read from an old copy": {Op{
			Kind: Get, Keys: []string{"k"}, Call: 26 * s, Return: 27 * s, Outcome: OK, Serializable: true,
		}, false, false},
	} {
		h := restored()
		h.Ops = []Op{c.op}
		before, after := h.Eras()
		if (len(before.Ops) == 1) != c.before || (len(after.Ops) == 1) != c.after {
			t.Errorf("%s: %d before, %d after", name, len(before.Ops), len(after.Ops))
		}
	}
}

func TestErasOfWatches(t *testing.T) {
	at := func(d time.Duration, rev int64) Step {
		return Step{At: d, Events: []WatchEvent{{Event: Event{Key: "k", Rev: rev}}}}
	}
	for name, c := range map[string]struct {
		w     Watch
		after bool
		steps int
	}{
		"told": {
			Watch{Call: s, Cancelled: 0, Steps: []Step{at(12*s, 4), {At: 24 * s, Err: "lost", Lost: true}}}, false, 1,
		},
		"told that it is compacted": {
			Watch{Call: s, Steps: []Step{at(12*s, 4), {At: 24 * s, Err: "compacted", CompactRev: 9}}}, false, 1,
		},
		"compacted later": {Watch{Call: s, Steps: []Step{
			at(12*s, 4), at(23*s, 4), {At: 24 * s, Err: "compacted", CompactRev: 9},
		}}, true, 3},
		"goes on":           {Watch{Call: s, Cancelled: 30 * s, Steps: []Step{at(12*s, 4), at(23*s, 4)}}, true, 2},
		"silent to the end": {Watch{Call: s, Cancelled: 40 * s, Last: true, Steps: []Step{at(12*s, 4)}}, true, 1},
		"cancelled soon":    {Watch{Call: s, Cancelled: 24 * s, Steps: []Step{at(12*s, 4)}}, false, 1},
		"ended before":      {Watch{Call: s, Cancelled: 15 * s, Steps: []Step{at(12*s, 4)}}, false, 1},
		"another one":       {Watch{Call: 21 * s, Cancelled: 24 * s}, true, 0},
	} {
		h := restored()
		h.Watches = []Watch{c.w}
		before, after := h.Eras()
		list := before.Watches
		if c.after {
			list = after.Watches
		}
		if len(before.Watches)+len(after.Watches) != 1 || len(list) != 1 || len(list[0].Steps) != c.steps {
			t.Errorf("%s: %+v, %+v", name, before.Watches, after.Watches)
		}
	}
}

func TestErasOfWhatIsHeld(t *testing.T) {
	h := restored()
	h.Leases = []Lease{
		{ID: 1, Key: "l", Granted: s, Released: 30 * s},     // kept: it comes back
		{ID: 2, Key: "k", Granted: s, Noticed: 15 * s},      // ended before
		{ID: 3, Key: "x", Granted: 11 * s, Noticed: 26 * s}, // forgotten
		{ID: 4, Key: "y", Granted: 24 * s, Noticed: 30 * s},
	}
	h.Holds = []Hold{
		{Key: "l", Fence: 3, Acquired: 3 * s, Ended: 30 * s},
		{Key: "k", Fence: 4, Acquired: 12 * s, Ended: 26 * s, Outlived: true},
		{Key: "k", Fence: 4, Acquired: 24 * s, Ended: 30 * s},
		{Key: "l", Fence: 3, Acquired: 12 * s, Ended: 21 * s}, // kept, and given up while nobody was there
	}
	before, after := h.Eras()
	var first, second []int64
	for _, l := range before.Leases {
		first = append(first, l.ID)
	}
	for _, l := range after.Leases {
		second = append(second, l.ID)
	}
	if len(first) != 2 || first[0] != 2 || first[1] != 3 || len(second) != 2 || second[0] != 1 || second[1] != 4 {
		t.Errorf("leases %v, %v", first, second)
	}
	if len(before.Holds) != 2 || before.Holds[1].Fence != 3 || before.Holds[0].Fence != 4 || before.Holds[0].Outlived ||
		len(after.Holds) != 2 {
		t.Errorf("%+v, %+v", before.Holds, after.Holds)
	}
	if h.Forgotten(h.Holds[0]) || !h.Forgotten(h.Holds[1]) || h.Forgotten(h.Holds[2]) {
		t.Error("what was forgotten")
	}
	if e := after.Truth.Events[0]; e.Seen != 22*s {
		t.Errorf("what was kept is there anew from %v on", e.Seen)
	}
}
