package keep

import (
	"errors"
	"flag"
	"fmt"
	"testing"

	"github.com/fairlead-go/fairlead/internal/watch/scenario"
)

var rewrite = flag.Bool("rewrite", false, "write what the code does into the scenario files")

func TestScenarios(t *testing.T) {
	scenario.Run(t, "testdata/*.txt", *rewrite, func(t *testing.T) func(scenario.Command) string {
		d := &driver{t: t, former: map[int64]bool{}}
		return d.do
	})
}

// driver plays the shell for one key. A found value that begins with "mine" is from an earlier run,
// and one with "op:" is an operator's change.
type driver struct {
	t      *testing.T
	m      machine
	lease  int64
	lapsed bool
	former map[int64]bool
	q      request
	out    []string
}

func (d *driver) say(format string, args ...any) { d.out = append(d.out, fmt.Sprintf(format, args...)) }

func (d *driver) queued(queue bool) {
	if queue {
		d.say("queue")
	}
}

func (d *driver) do(c scenario.Command) string {
	d.out = nil
	m := &d.m
	switch c.Name {
	case "want": // want VALUE
		d.queued(m.want(Present, []byte(c.Word(0))))
	case "close":
		d.queued(m.want(Gone, nil))
	case "adopt": // adopt VALUE: it is kept again, by another owner
		d.queued(m.adopt([]byte(c.Word(0))))
	case "hide", "show":
		changed, queue := m.hide(c.Name == "hide")
		d.say("changed %v", changed)
		d.queued(queue)
	case "granted": // granted lease=
		d.lease = c.Int(d.t, "lease", 0)
		d.queued(m.touch())
	case "lost":
		d.former[d.lease], d.lease, d.lapsed = true, 0, false
		d.effect(m.lost())
	case "lapsed":
		d.lapsed = true
		d.effect(m.lapse())
	case "regained": // regained [awaits]
		d.lapsed = false
		d.effect(m.regain(c.Has("awaits")))
	case "suspect": // suspect [rev=]
		d.queued(m.suspect(c.Int(d.t, "rev", 0)))
	case "audit":
		d.queued(m.audit())
	case "again": // a refused request is tried again
		d.queued(m.touch())
	case "next":
		d.next()
	case "done": // done rev=
		d.result(result{done: true, rev: c.Int(d.t, "rev", 0)})
	case "missing":
		d.result(result{rev: c.Int(d.t, "rev", 0)})
	case "found": // found VALUE mod= lease= rev=
		d.result(
			result{
				found: &record{[]byte(c.Word(0)), c.Int(d.t, "mod", 0), c.Int(d.t, "lease", 0)},
				rev:   c.Int(d.t, "rev", 0),
			},
		)
	case "error":
		d.result(result{err: errors.New(c.Word(0))})
	case "denied": // denied [awaits]
		d.result(result{err: errors.New("denied"), denied: true, awaits: c.Has("awaits")})
	case "unfit": // the value can never be stored
		d.result(result{err: errors.New("unfit"), denied: true, unfit: true, awaits: true})
	case "deleted": // deleted mod=: the watch shows it
		d.effect(m.changed(true, 0, c.Int(d.t, "mod", 0), d.lease))
	case "changed": // changed mod= lease=: the watch shows a put
		d.effect(m.changed(false, c.Int(d.t, "lease", 0), c.Int(d.t, "mod", 0), d.lease))
	default:
		d.t.Fatalf("no command %q", c.Name)
	}
	d.say(
		"  %s, %s, %s",
		[...]string{"present", "hidden", "gone"}[m.target],
		[...]string{"unknown", "absent", "ours", "foreign"}[m.there],
		[...]string{"idle", "queued", "busy", "denied"}[m.work],
	)
	return scenario.Lines(d.out)
}

// next takes the key out of the queue, or goes on with it.
func (d *driver) next() {
	lease := d.lease
	if d.lapsed {
		lease = 0
	}
	q, ok := d.m.next(lease)
	if d.q = q; !ok {
		d.say("no lease")
		return
	}
	switch q.do {
	case look:
		d.say("look")
	case put:
		d.say("put %s if mod=%d under %d", q.value, q.mod, q.lease)
	case remove:
		d.say("remove if under %d or %d", q.lease, q.also)
	}
}

func (d *driver) result(r result) {
	d.effect(d.m.result(d.q, r, func(id int64) bool { return id == d.q.lease || d.former[id] }, judge))
}

// judge judges what was found as the owner of an instance's key does.
func judge(f Found) Verdict {
	switch v := string(f.Value); {
	case f.Ours || f.First && v == string(f.Own):
		return Verdict{}
	}
	return Verdict{Taken: ErrTaken}
}

func (d *driver) effect(e effect) {
	if e.settle {
		d.say("settled: %v", e.err)
	}
	if e.notify != "" {
		d.say("notify %s", e.notify)
	}
	if e.forget {
		d.say("forget")
	}
	d.queued(e.queue)
	if e.again {
		d.next()
	}
}
