package check

import (
	"errors"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/chaos/history"
)

func TestViews(t *testing.T) {
	truth := &history.Truth{Last: 20, Events: []history.Event{
		{
			Key:   "s/a",
			Value: "r1",
			Rev:   2,
		}, {Key: "s/b", Value: "r1", Rev: 3}, {Key: "s/a", Value: "r2", Rev: 5}, {Key: "s/b", Delete: true, Rev: 7},
		{Key: "other", Value: "x", Rev: 8}, {Key: "s/b", Value: "r3", Rev: 9},
	}}
	means := func(_, value string) (string, error) {
		if n, ok := strings.CutPrefix(value, "r"); ok {
			return n, nil
		}
		return "", errors.New("no")
	}
	shown := func(rev int64, pairs ...string) history.View {
		v := history.View{Rev: rev}
		for i := 0; i < len(pairs); i += 2 {
			v.Shown = append(v.Shown, history.KV{Key: pairs[i], Value: pairs[i+1]})
		}
		return v
	}
	good := []history.View{
		shown(3, "s/a", "1", "s/b", "1"),
		shown(6, "s/a", "2", "s/b", "1"),
		shown(8, "s/a", "2"),
		shown(9, "s/a", "2", "s/b", "3"),
	}
	for name, c := range map[string]struct {
		change func([]history.View) []history.View
		left   bool
		want   string
	}{
		"good": {nil, false, ""},
		"held": {
			func(v []history.View) []history.View { v[2] = shown(8, "s/a", "2", "s/b", "1"); return v }, false, "",
		},
		"held to the end": {func(v []history.View) []history.View {
			return append(v[:2], shown(8, "s/a", "2", "s/b", "1"))
		}, false, "the last view shows 2"},
		"one is missing": {func(v []history.View) []history.View {
			v[1] = shown(6, "s/a", "2")
			return v
		}, false, `s/b is shown as "" (false)`},
		"an old value": {func(v []history.View) []history.View {
			v[1] = shown(6, "s/a", "1", "s/b", "1")
			return v
		}, false, `shown as "1" (true), not as "2"`},
		"never was": {func(v []history.View) []history.View {
			v[0] = shown(3, "s/a", "1", "s/b", "1", "s/c", "1")
			return v
		}, false, "never was"},
		"back": {
			func(v []history.View) []history.View { v[1], v[2] = v[2], v[1]; return v }, false, "follows one of",
		},
		"beyond the history": {
			func(v []history.View) []history.View { v[3].Rev = 21; return v }, false, "follows one of",
		},
		"not settled": {nil, true, "did not become"},
	} {
		t.Run(name, func(t *testing.T) {
			views := append([]history.View(nil), good...)
			if c.change != nil {
				views = c.change(views)
			}
			became := !c.left
			_, bad := Views(views, truth, "s/", &became, means)
			if c.want == "" && len(bad) == 0 {
				return
			}
			if c.want == "" || len(bad) == 0 || !strings.Contains(bad[0].Text, c.want) {
				t.Errorf("%v, want %q", bad, c.want)
			}
		})
	}
	truth.Events[0].Value = "broken"
	if _, bad := Views(good, truth, "s/", nil, means); len(bad) != 1 || !strings.Contains(bad[0].Text, "no record") {
		t.Errorf("%v", bad)
	}
}
