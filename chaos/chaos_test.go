package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead-go/fairlead/internal/etcdtest"

	"github.com/fairlead-go/fairlead/chaos/history"
	"github.com/fairlead-go/fairlead/chaos/schedule"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

// TestRun is a short run with a fixed seed: all of it works, and the client passes.
func TestRun(t *testing.T) {
	const seed, length = 11, 10 * time.Second
	passes(t, seed, length, schedule.Draw(seed, length, members))
}

// A client that could not be made is held against Fairlead only if that took too long, and late
// timers are not the reason.
func TestUnopened(t *testing.T) {
	const from, late = time.Minute, 2 * time.Second
	for name, c := range map[string]struct {
		took time.Duration // beyond the dial timeout
		late history.Lateness
		want bool
	}{
		"in time":  {took: 900 * time.Millisecond},
		"too long": {took: 1100 * time.Millisecond, want: true},
		"late timers": {
			took: 2 * time.Second, late: history.Lateness{{At: from + late, By: late}},
		},
		"later than those": {
			took: 4 * time.Second, late: history.Lateness{{At: from + late, By: late}}, want: true,
		},
		"late at another time": {
			took: 2 * time.Second, late: history.Lateness{{At: from - late, By: late}}, want: true,
		},
	} {
		u := unopened{from, from + dialTimeout + c.took, context.DeadlineExceeded}
		if err := u.tooLate(c.late); (err != nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// passes makes a run and checks that it proves something.
func passes(t *testing.T, seed uint64, length time.Duration, faults []schedule.Fault) {
	for _, f := range faults {
		t.Log(f)
	}
	r, err := run(seed, length, faults)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r.print(&out)
	t.Log(out.String())
	for _, err := range r.trouble {
		t.Error(err)
	}
	for _, v := range r.violations {
		t.Error(v)
	}
	// A run in which nothing happened proves nothing.
	for what, n := range map[string]int{
		"faults": len(r.struck), "calls": len(r.history.Ops), "watched events": r.watch.Events,
		"leases": len(r.history.Leases), "probes": len(r.history.Probes), "revisions": int(r.history.Truth.Last),
	} {
		if n == 0 {
			t.Errorf("no %s", what)
		}
	}
	spoilt(t, r)
	file := filepath.Join(t.TempDir(), "timeline")
	if err := r.timeline(file, faults); err != nil {
		t.Fatal(err)
	}
	lines(t, file)
}

// spoilt checks that a real history with one thing changed does not pass.
func spoilt(t *testing.T, r *result) {
	for name, spoil := range map[string]func(h *history.History) bool{
		"a read": func(h *history.History) bool {
			for i := range h.Ops {
				if o := &h.Ops[i]; o.Kind == history.Get && len(o.Saw) > 0 && !o.Serializable {
					o.Saw = []history.KV{{Key: o.Keys[0], Value: "ghost", ModRev: o.Saw[0].ModRev}}
					return true
				}
			}
			return false
		},
		"an event": func(h *history.History) bool {
			for i := range h.Watches {
				if w := &h.Watches[i]; w.Last && len(w.Steps) > 1 {
					w.Steps = w.Steps[:len(w.Steps)-1]
					return true
				}
			}
			return false
		},
	} {
		bad := &result{history: r.history, healed: r.healed}
		bad.history.Ops = append([]history.Op(nil), r.history.Ops...)
		bad.history.Watches = append([]history.Watch(nil), r.history.Watches...)
		if !spoil(&bad.history) {
			t.Errorf("%s: there is nothing to spoil", name)
			continue
		}
		if bad.judge(); len(bad.violations) == 0 {
			t.Errorf("%s was changed and nobody noticed", name)
		}
	}
}

// lines checks that the timeline is JSON, by time.
func lines(t *testing.T, file string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	last, n := time.Duration(-1), 0
	for s := bufio.NewScanner(f); s.Scan(); n++ {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		if l.At < last {
			t.Fatal("the timeline goes back")
		}
		last = l.At
	}
	if n < 100 {
		t.Errorf("%d lines", n)
	}
}
