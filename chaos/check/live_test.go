package check

import (
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// lively is a history of one lock, one watch and one member that is well for a minute: client 1
// owns from 1 s to 10 s, client 2 waits from 2 s on and has it from 10.1 s to 20 s.
func lively() *history.History {
	const s = time.Second
	h := &history.History{End: 60 * s}
	for at := time.Duration(0); at < h.End; at += s / 5 {
		h.Probes = append(h.Probes, history.Probe{Call: at, Return: at + 10*time.Millisecond, OK: true})
	}
	put := func(key string, rev int64, seen time.Duration) history.Event {
		return history.Event{Key: key, Rev: rev, Seen: seen}
	}
	gone := func(key string, rev int64, seen time.Duration) history.Event {
		return history.Event{Key: key, Rev: rev, Seen: seen, Delete: true}
	}
	h.Truth = history.Truth{First: 2, Last: 5, Events: []history.Event{
		put("lock/1", 2, s), put("lock/2", 3, 2*s), gone("lock/1", 4, 10*s), gone("lock/2", 5, 20*s),
	}}
	h.Attempts = []history.Attempt{
		{Client: 1, Scope: "lock", Key: "lock/1", Call: s, Return: s, OK: true, End: 10 * s},
		{
			Client: 2,
			Scope:  "lock",
			Key:    "lock/2",
			Call:   2 * s,
			Return: 10*s + 100*time.Millisecond,
			OK:     true,
			End:    20 * s,
		},
	}
	h.Holds = []history.Hold{
		{Client: 1, Scope: "lock", Key: "lock/1", Fence: 2, Acquired: s, Ended: 10 * s},
		{Client: 2, Scope: "lock", Key: "lock/2", Fence: 3, Acquired: 10 * s, Ended: 20 * s},
	}
	w := history.Watch{ID: 7, Scope: "lock/", Start: 1, Cancelled: 60 * s}
	for _, e := range h.Truth.Events {
		w.Steps = append(w.Steps, history.Step{At: e.Seen + time.Millisecond, Events: []history.WatchEvent{{Event: e}}})
	}
	h.Watches = []history.Watch{w}
	return h
}

func TestLive(t *testing.T) {
	const s = time.Second
	silence := func(h *history.History, from, to time.Duration) {
		for i := range h.Probes {
			h.Probes[i].OK = h.Probes[i].OK && (h.Probes[i].Call < from || h.Probes[i].Call > to)
		}
	}
	waitsInVain := func(h *history.History) {
		h.Attempts[1].OK, h.Attempts[1].Return, h.Attempts[1].End = false, 18*s, 18*s
		h.Holds = h.Holds[:1]
	}
	for name, c := range map[string]struct {
		change func(h *history.History)
		words  []string
	}{
		"good":          {func(*history.History) {}, nil},
		"waits in vain": {waitsInVain, []string{"client 2 was the first in line", "had not got it at 18.000 s"}},
		"gets it late": {
			func(h *history.History) { h.Attempts[1].Return = 16 * s }, []string{"client 2 was the first"},
		},
		"waits in vain, and no member is well": {func(h *history.History) {
			waitsInVain(h)
			silence(h, 12*s, 14*s)
		}, nil},
		"waits in vain, and the member is touched": {func(h *history.History) {
			waitsInVain(h)
			h.Touches = []history.Touch{{From: 11 * s, To: 12 * s}}
		}, nil},
		"waits in vain while the machine stands still": {func(h *history.History) {
			waitsInVain(h)
			h.Lateness = history.Lateness{{At: 12 * s, By: 2 * s}}
		}, nil},
		"gives up before it must have got it": {func(h *history.History) {
			waitsInVain(h)
			h.Attempts[1].Return = 14 * s
			h.Attempts[1].End = 14 * s
			h.Truth.Events[3].Seen = 16 * s
			h.Watches[0].Steps[3].At = 16 * s
		}, nil},
		"its key was deleted": {func(h *history.History) {
			waitsInVain(h)
			h.Truth.Events[3].Seen = 11 * s
			h.Watches[0].Steps[3].At = 11 * s
		}, nil},
		"leaves its key": {func(h *history.History) {
			h.Attempts[1].OK, h.Attempts[1].Return, h.Attempts[1].End = false, 3*s, 3*s
			h.Holds = h.Holds[:1]
		}, []string{"lock/2", "nobody wanted it"}},
		"does not unlock": {func(h *history.History) { h.Attempts[1].End, h.Holds[1].Ended = 12*s, 12*s }, []string{
			"from 12.000 s to 20.000 s", "nobody wanted it",
		}},
		"its key comes late and stays": {func(h *history.History) {
			h.Attempts[1].Return, h.Attempts[1].End, h.Attempts[1].OK = 2*s, 2*s, false
			h.Holds = h.Holds[:1]
		}, []string{"from 2.000 s", "nobody wanted it"}},
		"does not know that its key is gone": {func(h *history.History) {
			h.Holds[0].Ended, h.Attempts[0].End = 17*s, 17*s
		}, []string{"did not know for 7s"}},
		"an event comes late": {func(h *history.History) {
			h.Watches[0].Steps[2].At, h.Watches[0].Steps[3].At = 16*s, 20*s
		}, []string{"watch 7", "delete lock/1", "had not come at 16.000 s"}},
		"events do not come": {
			func(h *history.History) { h.Watches[0].Steps = h.Watches[0].Steps[:2] }, []string{"delete lock/1"},
		},
		"a slow consumer": {func(h *history.History) {
			h.Watches[0].Steps, h.Watches[0].Slow = h.Watches[0].Steps[:2], true
		}, nil},
		"a watch from now is not confirmed": {
			func(h *history.History) { h.Watches[0].Start, h.Watches[0].Steps = 0, nil }, []string{"its confirmation"},
		},
		"a watch that was cancelled in time": {func(h *history.History) {
			h.Watches[0].Steps, h.Watches[0].Cancelled = h.Watches[0].Steps[:2], 14*s
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := lively()
			c.change(h)
			r, v := Live(h, func(scope string) string { return scope + "/" })
			expect(t, v, c.words...)
			if name == "good" && (r.Waits != 1 || r.Events != 4 || r.Wait != 100*time.Millisecond) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// An act of an operator explains one loss, no other.
func TestMeddled(t *testing.T) {
	const s = time.Second
	gone := history.Event{Key: "a", Rev: 9, Delete: true, Seen: 10 * s}
	for name, c := range map[string]struct {
		m    history.Meddling
		want bool
	}{
		"the key":          {history.Meddling{At: 9 * s, Key: "a", Rev: 9}, true},
		"another key":      {history.Meddling{At: 9 * s, Key: "b", Rev: 9}, false},
		"another time":     {history.Meddling{At: 9 * s, Key: "a", Rev: 8}, false},
		"no answer":        {history.Meddling{At: 9 * s, Key: "a"}, true},
		"no answer, later": {history.Meddling{At: 11 * s, Key: "a"}, false},
		"the lease":        {history.Meddling{At: 9 * s, Lease: 7, Rev: 9}, true},
		"another lease":    {history.Meddling{At: 9 * s, Lease: 8, Rev: 9}, false},
	} {
		if got := meddled([]history.Meddling{c.m}, "a", 7, gone); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	h := lively()
	l := history.Lease{ID: 7, TTL: 3 * s, Granted: s, Key: "x", Released: 50 * s}
	m := []history.Meddling{{At: 20 * s, Lease: 7, Rev: 9}}
	r, v := Leases([]history.Lease{l}, &h.Truth, h.Probes, nil, m, nil)
	expect(t, v, "revoked at 20.000 s", "did not notice until 50.000 s")
	l.Noticed = 21 * s
	l.Released = 0
	if r, v = Leases([]history.Lease{l}, &h.Truth, h.Probes, nil, m, nil); len(v) > 0 || r.Revoked != 1 {
		t.Errorf("%+v, %v", r, v)
	}
}
