package concurrency

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/fairlead-go/fairlead/internal/watch/scenario"
)

var rewrite = flag.Bool("rewrite", false, "write what the code does into the scenario files")

// TestScenarios gives the core inputs and shows what it does: how holds end, which answers it
// refuses, and what is to be done next, where that changes.
func TestScenarios(t *testing.T) {
	scenario.Run(t, "testdata/*.txt", *rewrite, func(t *testing.T) func(scenario.Command) string {
		d := &driver{t: t, holds: map[string]*hold{}, names: map[*hold]string{}, calls: map[string]int{}}
		return d.do
	})
}

type driver struct {
	t     *testing.T
	core  core
	holds map[string]*hold
	names map[*hold]string
	calls map[string]int
	asked int // of the last look
	last  string
	out   []string
}

func (d *driver) do(c scenario.Command) string {
	d.out = nil
	k, rev, at := &d.core, c.Int(d.t, "rev", 0), c.Int(d.t, "at", 0)
	switch c.Name {
	case "begin": // begin [CALL]
		asked, ok := k.begin()
		d.calls[c.Word(0)] = asked
		if !ok {
			d.out = append(d.out, "waits")
		}
	case "answer": // answer HOLD rev= at= [call=] [foreign]
		h, err := k.answered(d.calls[c.Args["call"]], rev, at, !c.Has("foreign"))
		d.hold(c.Word(0), h, err)
	case "refused":
		k.refused()
	case "unanswered":
		k.unanswered()
	case "resume":
		d.hold(c.Word(0), k.resume(rev), nil)
	case "return": // the call returns: the hold is an ownership
		d.holds[c.Word(0)].taken = true
	case "guard", "unguard":
		k.guard(d.holds[c.Word(0)], c.Name == "guard")
	case "ripe":
		k.ripe()
	case "release":
		k.release(d.holds[c.Word(0)])
	case "released":
		k.releaseEnded(c.Has("failed"))
	case "leave":
		k.leave(d.holds[c.Word(0)])
	case "missing":
		k.missing(rev)
	case "removed": // removed rev= at= [absent]
		k.removed(rev, at, !c.Has("absent"))
	case "remove-failed":
		k.removeFailed()
	case "look": // a look is sent; inputs before "looked" come before its answer
		if st := k.next(); st.do != look {
			d.t.Fatalf("no look is due, but %v", st)
		}
		d.asked = k.next().asked
	case "looked": // looked at= [rev=] [foreign]
		k.looked(d.asked, at, rev, rev > 0 && !c.Has("foreign"))
	case "put":
		k.put(at, rev, !c.Has("foreign"))
	case "deleted":
		k.deleted(at)
	case "back":
		k.back(rev)
	case "watch-ended":
		k.watchEnded()
	default:
		d.t.Fatalf("unknown command %q", c.Name)
	}
	for _, h := range k.ended {
		d.out = append(d.out,
			fmt.Sprintf("%s %s", d.names[h], [...]string{"held", "released", "shared", "lost"}[h.end]))
	}
	k.ended = nil
	if next := describe(k.next()); next != d.last {
		d.last = next
		d.out = append(d.out, "next: "+next)
	}
	return scenario.Lines(d.out)
}

func (d *driver) hold(name string, h *hold, err error) {
	if err != nil {
		d.out = append(d.out, fmt.Sprintf("%s: %v", name, err))
		return
	}
	d.holds[name], d.names[h] = h, name
}

func describe(st step) string {
	s := [...]string{"idle", "ripen", "wait", "look", "remove", "watch"}[st.do]
	switch {
	case st.do == remove:
		s += fmt.Sprintf(" rev=%d", st.rev)
	case st.do == watch:
		s += fmt.Sprintf(" from=%d", st.rev)
		if st.puts {
			s += " puts"
		}
	}
	return strings.TrimSpace(s)
}
