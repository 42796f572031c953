package watch

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/watch/scenario"
)

var rewrite = flag.Bool("rewrite", false, "write what the code does into the scenario files")

func TestScenarios(t *testing.T) {
	scenario.Run(t, "testdata/*.txt", *rewrite, func(t *testing.T) func(scenario.Command) string {
		return newDriver(t).do
	})
}

// driver plays the shell for one scenario. Time stands still between commands.
type driver struct {
	t        *testing.T
	core     *core
	now      time.Time
	nmembers int
	watchers map[string]*watcher
	names    map[*watcher]string
	streams  map[string]*stream
	blocked  map[*watcher]bool
	asked    map[*watcher]action
	look     action
	honest   bool
	out      []string
}

func newDriver(t *testing.T) *driver {
	d := &driver{
		t: t, now: time.Unix(1_000_000, 0), nmembers: 3,
		watchers: map[string]*watcher{}, names: map[*watcher]string{}, streams: map[string]*stream{},
		blocked: map[*watcher]bool{}, asked: map[*watcher]action{},
	}
	d.core = newCore(DefaultBufferLimit, func() int { return d.nmembers }, true, func() float64 { return 0.5 })
	return d
}

func (d *driver) do(c scenario.Command) string {
	d.out = nil
	d.input(c)
	d.run()
	return scenario.Lines(d.out)
}

var verdicts = map[string]Verdict{"": Retry, "retry": Retry, "noleader": NoLeader, "fatal": Fatal, "toolarge": TooLarge}

func (d *driver) input(c scenario.Command) {
	k := d.core
	verdict := verdicts[c.Args["verdict"]]
	var err error
	if s := c.Args["err"]; s != "" {
		err = errors.New(s)
	}
	switch c.Name {
	case "limit":
		k.limit = c.Int(d.t, "bytes", 0)
	case "large":
		k.large = c.Int(d.t, "bytes", 0)
	case "honest": // every check finds all as it should be
		d.honest = true
	case "many":
		k.many = int(c.Int(d.t, "n", 0))
	case "told": // told STREAM [orders=MEMBER] [err=]
		k.told(d.now, d.stream(c), Finding{Orders: uint64(c.Int(d.t, "orders", 0))}, err)
	case "members":
		d.nmembers = int(c.Int(d.t, "n", 0))
	// watch NAMES key= [end=] [rev=] [group=] [fragment] [progress] [prevkv] [nodelete] [leader]
	// [created] [listed= [newest=] [term=] [counted]]
	case "watch":
		for name := range strings.SplitSeq(c.Word(0), ",") {
			r := &pb.WatchCreateRequest{
				Key: []byte(c.Args["key"]), RangeEnd: []byte(c.Args["end"]), StartRevision: c.Int(d.t, "rev", 0),
				Fragment: c.Has("fragment"), ProgressNotify: c.Has("progress"), PrevKv: c.Has("prevkv"),
			}
			if c.Has("nodelete") {
				r.Filters = append(r.Filters, pb.WatchCreateRequest_NODELETE)
			}
			w := newWatcher(
				Request{
					Create:        r,
					RequireLeader: c.Has("leader"),
					CreatedNotify: c.Has("created"),
					Listing:       d.listing(c),
				},
			)
			d.watchers[name], d.names[w] = w, name
			k.add(d.now, c.Args["group"], w)
			d.run()
		}
	case "opened":
		var connected time.Time
		if c.Has("connected") { // just now
			connected = d.now
		}
		k.opened(d.now, d.stream(c), c.Args["member"], connected)
	case "broken":
		k.broken(d.now, d.stream(c), err, verdict)
	case "recv":
		resp := d.response(c)
		if resp.Canceled && err == nil && resp.CancelReason != "" {
			err = errors.New(resp.CancelReason)
		}
		k.response(d.now, d.stream(c), resp, err, verdict)
	case "block":
		d.blocked[d.watcher(c)] = true
	case "take": // take NAME [n=]: the consumer takes n responses of its backlog
		for range c.Int(d.t, "n", 1) {
			d.take(d.watcher(c))
		}
	case "unblock":
		w := d.watcher(c)
		d.blocked[w] = false
		for w.queued() {
			d.take(w)
		}
	case "cancel":
		k.cancel(d.now, d.watcher(c))
	case "progress":
		k.requestProgress(d.now, c.Args["group"])
	// checked [look | of=WATCHER [round=]] rev= [cluster=] [term=] [different] [unproved]
	// [compacted] [err= verdict=]
	case "checked":
		f := Finding{
			Revision:  c.Int(d.t, "rev", 0),
			ClusterID: uint64(c.Int(d.t, "cluster", 7)),
			Term:      uint64(c.Int(d.t, "term", 0)),
			Different: c.Has("different"),
			Unproved:  c.Has("unproved"),
			Compacted: c.Has("compacted"),
			Changed:   c.Has("changed"),
		}
		if c.Has("look") {
			k.looked(d.now, d.look.st, d.look.round, f, err, verdict)
			break
		}
		if w := d.watchers[c.Args["of"]]; w != nil {
			round := int(c.Int(d.t, "round", int64(d.asked[w].round)))
			k.vouched(d.now, w, d.asked[w].st, round, f, err, verdict)
			break
		}
		k.checked(d.now, k.groups[c.Args["group"]], f, err, verdict)
	case "wait": // time passes; timers fire when they are due
		end := d.now.Add(c.Duration(d.t))
		for {
			g := d.nextTimer()
			if g == nil || g.armed.After(end) {
				break
			}
			d.now = g.armed
			k.tick(d.now, g)
			d.run()
		}
		d.now = end
	case "close":
		k.close(d.now)
	case "state":
		for _, name := range slices.Sorted(mapsKeys(d.watchers)) {
			w := d.watchers[name]
			d.say("%s %s resume=%d known=%d queued=%v", name, w.state, w.resume, w.known, w.queued())
		}
		d.say("buffered=%d", k.buffered)
	default:
		d.t.Fatalf("unknown command %q", c.Name)
	}
}

// listing is what the watcher has listed at a revision. Its newest key is of revision newest; 0: it
// has no key.
func (d *driver) listing(c scenario.Command) *Listing {
	if !c.Has("listed") {
		return nil
	}
	l := &Listing{
		Since: d.now, Answered: d.now, Revision: c.Int(d.t, "listed", 0), ClusterID: 7,
		Term: uint64(c.Int(d.t, "term", 0)),
	}
	if rev := c.Int(d.t, "newest", 0); rev > 0 {
		l.Note(&mvccpb.KeyValue{Key: []byte(c.Args["key"]), ModRevision: rev, Value: []byte("v")})
	} else {
		l.Empty = !c.Has("counted") // counted: only the number of keys is known, not which
	}
	return l
}

func mapsKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (d *driver) nextTimer() *group {
	var first *group
	for _, name := range slices.Sorted(mapsKeys(d.core.groups)) {
		g := d.core.groups[name]
		if !g.armed.IsZero() && (first == nil || g.armed.Before(first.armed)) {
			first = g
		}
	}
	return first
}

func (d *driver) watcher(c scenario.Command) *watcher {
	w := d.watchers[c.Word(0)]
	if w == nil {
		d.t.Fatalf("%s: no watcher %q", c.Name, c.Word(0))
	}
	return w
}

func (d *driver) stream(c scenario.Command) *stream {
	st := d.streams[c.Word(0)]
	if st == nil {
		d.t.Fatalf("%s: no stream %q", c.Name, c.Word(0))
	}
	return st
}

// response: recv STREAM id= rev= cluster= term= member= events=11,12 size= compact= reason=
// [created] [canceled] [fragment] [noheader]
func (d *driver) response(c scenario.Command) *pb.WatchResponse {
	resp := &pb.WatchResponse{
		WatchId: c.Int(
			d.t,
			"id",
			0,
		), Created: c.Has("created"), Canceled: c.Has("canceled"), Fragment: c.Has("fragment"),
		CompactRevision: c.Int(d.t, "compact", 0), CancelReason: c.Args["reason"],
	}
	for _, rev := range c.Ints(d.t, "events") {
		resp.Events = append(
			resp.Events,
			&mvccpb.Event{
				Kv: &mvccpb.KeyValue{Key: []byte("k"), ModRevision: rev, Value: make([]byte, c.Int(d.t, "size", 0))},
			},
		)
	}
	if !c.Has("noheader") {
		resp.Header = &pb.ResponseHeader{
			ClusterId: uint64(c.Int(d.t, "cluster", 7)),
			Revision:  c.Int(d.t, "rev", 0),
			RaftTerm:  uint64(c.Int(d.t, "term", 0)),
			MemberId:  uint64(c.Int(d.t, "member", 0)),
		}
	}
	return resp
}

func (d *driver) say(format string, args ...any) { d.out = append(d.out, fmt.Sprintf(format, args...)) }

func (d *driver) take(w *watcher) {
	it, ok := d.core.head(w)
	if !ok {
		d.say("%s has nothing", d.names[w])
		return
	}
	d.say("%s takes %s", d.names[w], show(it.d.Resp, it.d.Err))
	d.core.taken(d.now, w)
	d.run()
}

func (d *driver) run() {
	k := d.core
	for i := 0; i < len(k.acts); i++ {
		a := k.acts[i]
		name := d.names[a.w]
		switch a.kind {
		case actOpen:
			s := fmt.Sprintf("s%d", a.st.seq)
			d.streams[s] = a.st
			line := "open " + s
			if a.g.name != "" {
				line += " group=" + a.g.name
			}
			if !a.st.guarded {
				line += " unguarded"
			}
			if len(a.st.avoid) > 0 {
				line += " avoid=" + strings.Join(a.st.avoid, ",")
			}
			d.say("%s", line)
		case actSend:
			d.say("send s%d %s", a.st.seq, showRequest(a.req))
		case actShut:
			d.say("shut s%d", a.st.seq)
		case actOffer:
			switch {
			case a.w.dropped:
			case a.w.queued() || d.blocked[a.w]:
				d.say("%s is blocked at %s", name, show(a.resp, a.err))
				k.blocked(d.now, a.w, Delivery{Resp: a.resp, Err: a.err}, a.last)
			default:
				d.say("%s gets %s", name, show(a.resp, a.err))
				k.delivered(a.w, a.last)
			}
		case actPump:
			d.say("pump %s", name)
		case actStop:
			d.say("stop and end %s", name)
		case actEnd:
			d.say("end %s", name)
		case actTell:
			d.say("tell %s", name)
		case actArm:
			if a.at.IsZero() {
				d.say("timer off")
			} else {
				d.say("timer in %s", a.at.Sub(d.now))
			}
		case actConfirm:
			if a.check.Member != "" {
				d.say("ask %s on s%d whether its answers are in order", a.check.Member, a.st.seq)
				break
			}
			if d.honest {
				if a.look {
					k.looked(d.now, a.st, a.round, Finding{Revision: 1 << 40}, nil, Retry)
				} else if a.w != nil {
					k.vouched(d.now, a.w, a.st, a.round, Finding{Revision: 1 << 40}, nil, Retry)
				} else {
					k.checked(d.now, a.g, Finding{Revision: 1 << 40}, nil, Retry)
				}
				break
			}
			line := "check key=" + string(a.check.Key)
			if a.check.Revision != 0 {
				line += fmt.Sprintf(" witness=%d events=%d", a.check.Revision, len(a.check.Changes))
			}
			if len(a.check.Changes) > 0 && a.check.Changes[0].Absent {
				line += " absent"
			}
			if a.w != nil {
				line += " of " + d.names[a.w]
				d.asked[a.w] = a
			}
			if a.look {
				line += " look"
				if a.check.Now {
					line += " now"
				}
				d.look = a
			}
			d.say("%s", line)
		case actNote:
			line := "note: " + a.note
			if a.w != nil {
				line += " (" + name + ")"
			}
			if a.err != nil {
				line += ": " + a.err.Error()
			}
			d.say("%s", line)
		}
	}
	k.acts = k.acts[:0]
}

func showRequest(r *pb.WatchRequest) string {
	if q := r.GetCreateRequest(); q != nil {
		s := fmt.Sprintf("create id=%d key=%s", q.WatchId, q.Key)
		if len(q.RangeEnd) > 0 {
			s += ".." + string(q.RangeEnd)
		}
		s += fmt.Sprintf(" rev=%d", q.StartRevision)
		if q.PrevKv {
			s += " prevkv"
		}
		if q.Fragment {
			s += " fragments"
		}
		for _, f := range q.Filters {
			s += " " + strings.ToLower(f.String())
		}
		return s
	}
	if q := r.GetCancelRequest(); q != nil {
		return fmt.Sprintf("cancel id=%d", q.WatchId)
	}
	return "progress"
}

func show(r *pb.WatchResponse, err error) string {
	var s []string
	if r.Created {
		s = append(s, "created")
	}
	if len(r.Events) > 0 {
		var revs []string
		for _, ev := range r.Events {
			revs = append(revs, fmt.Sprint(revision(ev)))
		}
		s = append(s, "events="+strings.Join(revs, ","))
	}
	if r.Canceled {
		s = append(s, "canceled")
	}
	if r.CompactRevision != 0 {
		s = append(s, fmt.Sprintf("compact=%d", r.CompactRevision))
	}
	if len(s) == 0 {
		s = append(s, "progress")
	}
	if rev := r.Header.GetRevision(); rev != 0 {
		s = append(s, fmt.Sprintf("rev=%d", rev))
	}
	if err != nil {
		s = append(s, fmt.Sprintf("err=%q", err))
	}
	return strings.Join(s, " ")
}
