package lease

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/watch/scenario"
)

var rewrite = flag.Bool("rewrite", false, "write what the code does into the scenario files")

func TestScenarios(t *testing.T) {
	scenario.Run(t, "testdata/*.txt", *rewrite, func(t *testing.T) func(scenario.Command) string {
		d := &driver{t: t, keeps: map[string]*keep{}, names: map[*keep]string{}, streams: map[string]*stream{}}
		d.core = newCore(DefaultFirstAnswer, func() float64 { return 0.5 })
		return d.do
	})
}

// driver plays the shell for one scenario. Time stands still between commands. Each
// line of output begins with the time.
type driver struct {
	t       *testing.T
	core    *core
	now     time.Duration
	keeps   map[string]*keep
	names   map[*keep]string
	streams map[string]*stream
	out     []string
	risks   []string // names of keeps at risk, to be printed on one line
	sends   []int64  // renewals of the last stream that have not been printed
	sendsOn string
	sentAt  time.Duration
}

func (d *driver) do(c scenario.Command) string {
	d.out = nil
	d.input(c)
	d.run()
	d.flush()
	if c.Has("quiet") {
		return ""
	}
	return scenario.Lines(d.out)
}

func (d *driver) input(c scenario.Command) {
	k := d.core
	switch c.Name {
	case "keep", "persist", "hasty": // keep NAMES id= (the id counts up over several names); or keep from= to=
		id := c.Int(d.t, "id", 0)
		names := strings.Split(c.Word(0), ",")
		if c.Has("from") {
			id, names = c.Int(d.t, "from", 0), nil
			for i := id; i <= c.Int(d.t, "to", 0); i++ {
				names = append(names, fmt.Sprintf("k%d", i))
			}
		}
		for i, name := range names {
			p := &keep{persists: c.Name == "persist", hasty: c.Name == "hasty"}
			d.keeps[name], d.names[p] = p, name
			k.keepAlive(d.now, id+int64(i), p)
			d.run()
		}
	case "same": // same NAME id=: another keep of a kept lease
		p := &keep{}
		d.keeps[c.Word(0)], d.names[p] = p, c.Word(0)
		k.keepAlive(d.now, c.Int(d.t, "id", 0), p)
	case "granted":
		ago, _ := time.ParseDuration(c.Args["ago"])
		k.granted(d.now, c.Int(d.t, "id", 0), seconds(c.Int(d.t, "ttl", 0)), d.now-ago, uint64(c.Int(d.t, "term", 0)))
	case "revoked":
		k.revoked(d.now, c.Int(d.t, "id", 0))
	case "cancel":
		k.cancel(d.now, d.keeps[c.Word(0)], errors.New("context canceled"))
	case "opened":
		k.opened(d.now, d.stream(c), c.Args["member"])
	case "failed":
		v := map[string]Verdict{
			"": Retry, "fatal": Fatal, "denied": Denied, "blameless": Blameless,
		}[c.Args["verdict"]]
		k.failed(d.now, d.stream(c), errors.New(c.Args["err"]), v)
	case "answer": // answer STREAM id= ttl=; or from= to= [each=]: one after the other
		from, to := c.Int(d.t, "id", 0), c.Int(d.t, "id", 0)
		if c.Has("from") {
			from, to = c.Int(d.t, "from", 0), c.Int(d.t, "to", 0)
		}
		each, _ := time.ParseDuration(c.Args["each"])
		for id := from; id <= to; id++ {
			d.pass(each)
			k.answer(d.now, d.stream(c), &pb.LeaseKeepAliveResponse{
				ID: id, TTL: c.Int(d.t, "ttl", 0), Header: &pb.ResponseHeader{RaftTerm: uint64(c.Int(d.t, "term", 0))},
			})
			d.run()
		}
	case "wait": // time passes; timers fire when they are due
		d.pass(c.Duration(d.t))
	case "pause": // the process stands still; the timer fires when it goes on
		d.now += c.Duration(d.t)
		if k.armed <= d.now {
			k.tick(d.now)
		}
	case "slept": // the machine was suspended, by the wall clock
		k.sleeping(d.now, c.Duration(d.t))
	case "skip": // time passes, and the timer has not fired yet when the next input comes
		d.now += c.Duration(d.t)
	case "held":
		id, _ := strconv.ParseInt(c.Word(0), 10, 64)
		until, ok := k.heldUntil(id)
		d.say("held until %.3f, %v", until.Seconds(), ok)
	case "close":
		k.close(d.now)
	case "state":
		d.say("%d leases, %d queued, %d streams, avoid %v", len(k.leases), k.queued(), len(k.streams), k.avoid)
	default:
		d.t.Fatalf("unknown command %q", c.Name)
	}
}

func (d *driver) pass(t time.Duration) {
	end := d.now + t
	for d.core.armed <= end {
		d.now = max(d.now, d.core.armed)
		d.core.tick(d.now)
		d.run()
	}
	d.now = end
}

func (d *driver) stream(c scenario.Command) *stream {
	st := d.streams[c.Word(0)]
	if st == nil {
		d.t.Fatalf("%s: no stream %q; so far:\n%s", c.Name, c.Word(0), strings.Join(d.out, "\n"))
	}
	return st
}

func (d *driver) say(format string, args ...any) {
	d.flush()
	d.line(d.now, fmt.Sprintf(format, args...))
}

func (d *driver) line(at time.Duration, s string) {
	d.out = append(d.out, fmt.Sprintf("%6.3f %s", at.Seconds(), s))
}

// flush prints renewals that were sent one after the other on one line.
func (d *driver) flush() {
	if len(d.sends) == 0 {
		return
	}
	var parts []string
	for i := 0; i < len(d.sends); {
		j := i
		for j+1 < len(d.sends) && d.sends[j+1] == d.sends[j]+1 {
			j++
		}
		if j > i+1 {
			parts = append(parts, fmt.Sprintf("%d-%d", d.sends[i], d.sends[j]))
		} else {
			for n := i; n <= j; n++ {
				parts = append(parts, fmt.Sprint(d.sends[n]))
			}
		}
		i = j + 1
	}
	d.sends = nil
	d.line(d.sentAt, fmt.Sprintf("send %s %s", d.sendsOn, strings.Join(parts, ",")))
}

func (d *driver) run() {
	k := d.core
	for i, a := range k.acts {
		switch a.kind {
		case actOpen:
			s := fmt.Sprintf("s%d", a.st.seq)
			d.streams[s] = a.st
			line := "open " + s
			if len(a.st.avoid) > 0 {
				line += " avoid=" + strings.Join(a.st.avoid, ",")
			}
			d.say("%s", line)
		case actSend:
			on := fmt.Sprintf("s%d", a.st.seq)
			if on != d.sendsOn || d.sentAt != d.now {
				d.flush()
			}
			d.sendsOn, d.sentAt = on, d.now
			d.sends = append(d.sends, a.id)
		case actShut:
			d.say("shut s%d", a.st.seq)
		case actRenewed:
			var names []string
			for p := a.l.keeps; p != nil; p = p.next {
				names = append(names, d.names[p])
			}
			slices.Sort(names)
			d.say("renewed %s ttl=%d", strings.Join(names, ","), a.resp.TTL)
		case actAtRisk:
			var names []string
			for p := a.l.keeps; p != nil; p = p.next {
				names = append(names, d.names[p])
			}
			d.risks = append(d.risks, names...)
			if i+1 < len(k.acts) && k.acts[i+1].kind == actAtRisk {
				continue // all on one line
			}
			slices.Sort(d.risks)
			if n := len(d.risks); n > 8 {
				d.say("at risk %d", n)
			} else {
				d.say("at risk %s", strings.Join(d.risks, ","))
			}
			d.risks = nil
		case actEnded:
			line := fmt.Sprintf("ended %s: %s", d.names[a.k], a.reason)
			if a.err != nil {
				line += ": " + a.err.Error()
			}
			d.say("%s", line)
		case actNote:
			line := "note: " + a.note
			if a.count > 0 {
				line += fmt.Sprintf(" (%d)", a.count)
			}
			if a.err != nil {
				line += ": " + a.err.Error()
			}
			d.say("%s", line)
		}
	}
	k.acts = k.acts[:0]
}
