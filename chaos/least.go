package main

import (
	"fmt"
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
	"github.com/fairlead-go/fairlead/chaos/schedule"
)

// least checks that each checker had enough to judge: per minute about a tenth of what two busy
// cores give. A checker that saw nothing has not passed.
func (r *result) least(length time.Duration) (short []error) {
	h := &r.history
	if b := h.Restore; b != nil { // nobody could do anything in that time
		length = max(0, length-(b.Settled-b.At))
	}
	calls, held := 0, make(map[string]int)
	through := make(map[way]int)
	for i := range h.Ops {
		if o := &h.Ops[i]; o.Outcome == history.OK {
			calls++
			if w := wayOf(o.Client); w != stm || o.Kind == history.CAS {
				through[w]++
			}
		}
	}
	for _, o := range h.Holds {
		held[o.Scope]++
	}
	renewals := 0
	for _, l := range h.Leases {
		renewals += l.Renewals
	}
	for _, w := range []struct {
		what           string
		got, perMinute int
	}{
		{"calls that succeeded", calls, 800},
		{"calls through a namespace", through[namespaced], 80},
		{"reads answered from a cache's copy", r.copied, 20},
		{"transactions of STM", through[stm], 15},
		{"changes of a mirror", r.copy.Changes, 200},
		{"views of a service", r.view.Views, 15},
		{"updates of instances", r.updates, 15},
		{"committed revisions", int(h.Truth.Last), 800},
		{"answers to probes", len(h.Probes), 300},
		{"events delivered", r.watch.Events, 4000},
		{"previous values delivered", r.watch.Prevs, 1500},
		{"events judged by their delay", r.live.Events, 4000},
		{"leases", len(h.Leases), 15},
		{"renewals", renewals, 60},
		{"locks got", held[contests[0]], 15},
		{"leaderships got", held[contests[1]], 15},
		{"guarded writes", r.owner.Counted, 400},
		{"waits of the first in line", r.live.Waits, 30},
		{"owners' keys deleted by operators", r.struck[schedule.DeleteKey], 1},
		{"leases revoked by operators", r.struck[schedule.Revoke], 1},
		{"compactions", r.struck[schedule.Compact], 1},
	} {
		if want := int(time.Duration(w.perMinute) * length / time.Minute); w.got < want {
			short = append(short, fmt.Errorf("too little happened: %d %s, at least %d are needed", w.got, w.what, want))
		}
	}
	if h.Restore != nil && (r.restored.Forgotten == 0 || r.restored.Watches == 0) {
		short = append(short, fmt.Errorf("too little was lost by the restore: %+v", r.restored))
	}
	return short
}
