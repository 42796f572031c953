package check

import (
	"strings"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// TestRestored: a backup at revision 2; at 3 "b" was written and lost.
func TestRestored(t *testing.T) {
	const s = time.Second
	write := func(value string, call, end time.Duration) history.Op {
		return history.Op{
			Kind:    history.Put,
			Keys:    []string{"k"},
			Value:   value,
			Call:    call,
			Return:  end,
			Outcome: history.Unknown,
		}
	}
	for name, c := range map[string]struct {
		change func(h *history.History)
		want   string
	}{
		"nothing": {func(h *history.History) {}, ""},
		"executed twice": {func(h *history.History) {
			h.Ops = append(h.Ops, write("b", 12*s, 24*s))
			h.Truth.Events = append(h.Truth.Events, history.Event{Key: "k", Value: "b", Rev: 3})
		}, "again"},
		"executed late": {func(h *history.History) {
			h.Ops = append(h.Ops, write("c", 12*s, 13*s))
			h.Truth.Events = append(h.Truth.Events, history.Event{Key: "k", Value: "c", Rev: 3})
		}, "after it had returned"},
		"a watch goes on in another cluster": {func(h *history.History) {
			h.Restore.Renamed = true
			h.Watches = []history.Watch{
				{Call: s, Cancelled: 60 * s, Steps: []history.Step{{At: 2 * s, Created: true}, {At: 30 * s}}},
			}
		}, "another id"},
		"a watch is told": {func(h *history.History) {
			h.Restore.Renamed = true
			h.Watches = []history.Watch{
				{Call: s, Steps: []history.Step{{At: 2 * s, Created: true}, {At: 30 * s, Err: "lost", Lost: true}}},
			}
		}, ""},
		"a holder is not told": {func(h *history.History) {
			h.Leases = []history.Lease{{Key: "l", Granted: 11 * s, Noticed: 50 * s}}
		}, "was not in the backup"},
		"a holder is told": {func(h *history.History) {
			h.Leases = []history.Lease{{Key: "l", Granted: 11 * s, Noticed: 26 * s}}
		}, ""},
		"an owner does not know": {func(h *history.History) {
			h.Holds = []history.Hold{{Key: "o", Fence: 3, Acquired: 12 * s, Ended: 50 * s}}
		}, "its owner did not know"},
		"views of the past": {func(h *history.History) {
			h.Views = []history.View{{At: 15 * s, Rev: 3}, {At: 30 * s, Rev: 3}}
		}, "views showed the lost history"},
		"views of the present": {func(h *history.History) {
			h.Views = []history.View{{At: 15 * s, Rev: 3}, {At: 26 * s, Rev: 2}}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := &history.History{
				Restore: &history.Restore{
					Backup:  10 * s,
					At:      20 * s,
					Back:    22 * s,
					Settled: 25 * s,
					Kept:    2,
					Lost: history.Truth{
						First: 2, Last: 3, Events: []history.Event{
							{Key: "k", Value: "a", Rev: 2}, {Key: "k", Value: "b", Rev: 3},
						},
					},
				},
				Truth: history.Truth{First: 2, Last: 3, Events: []history.Event{{Key: "k", Value: "a", Rev: 2}}},
				End:   60 * s,
			}
			for at := 25 * s; at < 60*s; at += s / 2 {
				h.Probes = append(h.Probes, history.Probe{Call: at, Return: at + s/10, OK: true})
			}
			c.change(h)
			r, bad := Restored(h)
			if r.Forgotten != 1 {
				t.Errorf("%+v", r)
			}
			if c.want == "" && len(bad) == 0 {
				return
			}
			if c.want == "" || len(bad) != 1 || !strings.Contains(bad[0].Text, c.want) {
				t.Errorf("%v, want %q", bad, c.want)
			}
		})
	}
}
