package check

import (
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// TestOwners judges good and bad histories of owners.
func TestOwners(t *testing.T) {
	key := func(h history.Hold) history.Hold {
		h.Scope, h.TTL = "lock", 3*time.Second
		return h
	}
	a := key(
		history.Hold{
			Client:   1,
			Key:      "a",
			Fence:    10,
			Acquired: time.Second,
			Ended:    2 * time.Second,
			LastAck:  time.Second,
		},
	)
	b := key(history.Hold{Client: 2, Key: "b", Fence: 20, Acquired: 3 * time.Second, Ended: 4 * time.Second})
	put := func(k string, rev int64) history.Event { return history.Event{Key: k, Rev: rev} }
	del := func(k string, rev int64, seen time.Duration) history.Event {
		return history.Event{Key: k, Rev: rev, Delete: true, Seen: seen}
	}
	count := func(rev int64, value string) history.Event {
		return history.Event{Key: "count", Rev: rev, Value: value}
	}
	good := []history.Event{
		put("a", 10),
		count(11, "10 1"),
		count(12, "10 2"),
		del("a", 13, 2*time.Second),
		put("b", 20),
		count(21, "20 1"),
		del("b", 22, 4*time.Second),
	}
	for _, tc := range []struct {
		name    string
		change  func(a, b *history.Hold, events []history.Event) []history.Event
		touched bool
		want    string
	}{
		{"good", nil, false, ""},
		{"two believe to own", func(a, _ *history.Hold, e []history.Event) []history.Event {
			a.Ended = 3500 * time.Millisecond
			return e
		}, false, "longer"},
		{"the server broke its word", func(a, _ *history.Hold, e []history.Event) []history.Event {
			a.Ended, a.LastAck = 3500*time.Millisecond, 1900*time.Millisecond
			return e
		}, true, ""},
		{"lost for no reason", func(a, _ *history.Hold, e []history.Event) []history.Event {
			a.Outlived = true
			return e
		}, false, "no operator"},
		{"a fence that nobody put", func(a, _ *history.Hold, e []history.Event) []history.Event {
			a.Fence = 9
			return e
		}, false, "nobody put"},
		{"one fence for two", func(a, b *history.Hold, e []history.Event) []history.Event {
			a.Fence, a.Key = b.Fence, b.Key
			return e
		}, false, "same fence"},
		{"a stale owner writes", func(_, _ *history.Hold, e []history.Event) []history.Event {
			return append(e, count(30, "10 3"))
		}, false, "after 20 1"},
		{"a write is executed twice", func(_, _ *history.Hold, e []history.Event) []history.Event {
			return append(e, count(30, "20 1"))
		}, false, "after 20 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b, events := a, b, append([]history.Event(nil), good...)
			if tc.change != nil {
				events = tc.change(&a, &b, events)
			}
			var touches []history.Touch
			if tc.touched {
				touches = []history.Touch{{From: 0, To: 2 * time.Second}}
			}
			r, bad := Owners(
				[]history.Hold{b, a},
				&history.Truth{Events: events},
				touches,
				nil,
				nil,
				func(string) string { return "count" },
				5*time.Second,
			)
			if r.Holds != 2 {
				t.Errorf("%+v", r)
			}
			if tc.want == "" && len(bad) > 0 ||
				tc.want != "" && (len(bad) == 0 || !strings.Contains(bad[0].Text, tc.want)) {
				t.Errorf("%v, want %q", bad, tc.want)
			}
		})
	}
	isCount := func(k string) bool { return k == "s/count" }
	if bad := Free(&history.Truth{Events: []history.Event{put("s/a", 1), del("s/a", 2, 0), put("s/count", 3)}}, "s/",
		isCount); len(bad) != 0 {
		t.Errorf("%v", bad)
	}
	bad := Free(&history.Truth{Events: []history.Event{put("s/a", 1), put("s/count", 3)}}, "s/", isCount)
	if len(bad) != 1 {
		t.Errorf("a key left: %v", bad)
	}
}
