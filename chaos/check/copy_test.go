package check

import (
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/chaos/history"
)

func TestCopies(t *testing.T) {
	put := func(key, value string, rev int64) history.Event {
		return history.Event{Key: key, Value: value, Rev: rev}
	}
	del := func(key string, rev int64) history.Event { return history.Event{Key: key, Rev: rev, Delete: true} }
	source := []history.Event{
		put("a/k", "1", 2),
		put("a/k", "2", 3),
		del("a/k", 4),
		put("a/k", "3", 5),
		put("a/other", "4", 6),
		del("a/other", 7),
		put("a/k", "late", 8), // executed after the last write that the mirror has to copy
	}
	for name, c := range map[string]struct {
		copied []history.Event
		want   string
	}{
		"all": {
			[]history.Event{put("b/k", "1", 10), put("b/k", "2", 11), del("b/k", 12), put("b/k", "3", 13)}, "",
		},
		"the end": {[]history.Event{put("b/k", "3", 10)}, ""},
		"again":   {[]history.Event{put("b/k", "3", 10), put("b/k", "3", 11)}, ""},
		"back": {[]history.Event{put("b/k", "2", 10), put("b/k", "1", 11), put("b/k", "3",
			12)}, `put b/k="1" @11 is no change`},
		"a deletion late": {
			[]history.Event{put("b/k", "3", 10), del("b/k", 11), put("b/k", "3", 12)}, "delete b/k @11 is no change",
		},
		"before it was":    {[]history.Event{put("b/k", "3", 4)}, "is no change"},
		"another value":    {[]history.Event{put("b/k", "9", 10), put("b/k", "3", 11)}, "is no change"},
		"not finished":     {[]history.Event{put("b/k", "2", 10)}, `a/k is "3", its copy at the end "2"`},
		"a late write too": {[]history.Event{put("b/k", "3", 10), put("b/k", "late", 11)}, ""},
		"nothing":          {nil, "its copy at the end"},
		"not deleted": {
			[]history.Event{put("b/k", "3", 10), put("b/other", "4", 11)}, `a/other is "", its copy at the end`,
		},
		"a copy of no key": {[]history.Event{put("b/k", "3", 10), put("b/x", "4", 11)}, "b/x is a copy of nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			r, bad := Copies(
				&history.Truth{Events: append(append([]history.Event(nil), source...), c.copied...), Last: 20},
				"a/",
				"b/",
				7,
			)
			if r.Keys != 2 || r.Changes != len(c.copied) && c.want == "" {
				t.Errorf("%+v", r)
			}
			if c.want == "" && len(bad) == 0 {
				return
			}
			if c.want == "" || len(bad) == 0 || !strings.Contains(bad[0].Text, c.want) {
				t.Errorf("%v, want %q", bad, c.want)
			}
		})
	}
}
