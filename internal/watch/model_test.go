package watch

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/watch/scenario"
)

// The model: a server that keeps to the protocol, with a history of revisions of
// several events each, and consumers that note what they get. Bytes decide what
// happens next. Whatever it is, every watcher must get exactly the events from its
// start, in order; only a compaction or a restored backup may end it early, after a
// prefix of them. A restored backup may overtake the watchers before they are back, and
// a proxy may keep their stream meanwhile: then only a lower raft term reveals it.
type model struct {
	t     *testing.T
	bytes []byte
	core  *core
	now   time.Time

	history   []modelRevision   // of revisions from 1
	pasts     [][]modelRevision // what was the history before each restore
	compacted int64
	term      uint64
	st        *stream
	server    *modelStream // nil: not open
	consumers []*consumer
	byWatcher map[*watcher]*consumer
	checks    []modelCheck
	lies      bool // the server's promises are worth nothing
	seen      bool // a look has seen another history
}

type modelRevision struct {
	events int // 0: it changed keys that nobody watches
	epoch  int // of the history that made it
}

// event is the i-th one, from 1, of revision rev.
func (r modelRevision) event(rev int64, i int) *mvccpb.Event {
	return &mvccpb.Event{Kv: &mvccpb.KeyValue{
		Key: fmt.Appendf(
			nil,
			"a%d",
			i,
		), ModRevision: rev, Version: int64(i), Lease: int64(r.epoch), Value: make([]byte, 300)}}
}

func name(ev *mvccpb.Event) string {
	return fmt.Sprintf("%d.%d.%d", revision(ev), ev.GetKv().GetVersion(), ev.GetKv().GetLease())
}

type modelCheck struct {
	action
	read  bool
	found Finding
}

// modelStream is the server's side of a stream.
type modelStream struct {
	theirs   bool // assigns ids itself, as the proxy does
	nextID   int64
	requests []*pb.WatchRequest
	watchers map[int64]*serverWatcher
	order    []int64
	shown    int64               // the member's revision never falls
	late     []*pb.WatchResponse // answers for all; they come before later events, and after any confirmation
}

type serverWatcher struct {
	next int64 // revision to send next
	sent int   // events of it that went out in a fragment
	cut  bool  // it may be sent fragments
}

type consumer struct {
	m       *model
	w       *watcher
	name    string
	start   int64          // 0: not confirmed yet
	listed  *modelRevision // the revision before start, if the consumer has read it; else nil
	got     []string
	last    int64
	blocked bool
	final   *Delivery
	ended   int
}

func newModel(t *testing.T, data []byte) *model {
	m := &model{t: t, bytes: data, now: time.Unix(1_000_000, 0), term: 4, byWatcher: map[*watcher]*consumer{}}
	m.history = []modelRevision{{events: 1}} // an etcd begins at 1
	m.core = newCore(6000, func() int { return 3 }, true, m.fraction)
	m.core.large = 3 * eventOverhead
	m.core.many = len(data) % 2 * notifiedTogether
	return m
}

// next takes a byte that decides something in [0, n).
func (m *model) next(n int) int {
	if len(m.bytes) == 0 {
		return 0
	}
	b := int(m.bytes[0])
	m.bytes = m.bytes[1:]
	return b % n
}

func (m *model) fraction() float64 { return float64(m.next(4)) / 4 }
func (m *model) revision() int64   { return int64(len(m.history)) }
func (m *model) header() *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: 7, MemberId: 5, Revision: m.revision(), RaftTerm: m.term}
}

func (m *model) run() {
	k := m.core
	for i := 0; i < len(k.acts); i++ {
		a := k.acts[i]
		c := m.byWatcher[a.w]
		switch a.kind {
		case actOpen:
			m.st, m.server = a.st, nil
		case actSend:
			if a.st == m.st && m.server != nil {
				m.server.requests = append(m.server.requests, a.req)
			}
		case actShut:
			if a.st == m.st {
				m.st, m.server = nil, nil
			}
		case actOffer:
			d := Delivery{Resp: a.resp, Err: a.err}
			switch {
			case a.w.dropped:
			case a.w.queued() || c.blocked:
				k.blocked(m.now, a.w, d, a.last)
			default:
				c.take(d, a.last)
				k.delivered(a.w, a.last)
			}
		case actEnd, actStop:
			c.ended++
		case actConfirm:
			m.checks = append(m.checks, modelCheck{action: a})
		}
	}
	k.acts = k.acts[:0]
}

func (c *consumer) take(d Delivery, last bool) {
	t := c.m.t
	if c.ended > 0 || c.final != nil {
		t.Fatalf("%s: delivery after the end", c.name)
	}
	if last {
		c.final = &d
		return
	}
	for _, ev := range d.Resp.Events {
		if r := revision(ev); r < c.last {
			t.Fatalf("%s: revision %d after %d", c.name, r, c.last)
		} else {
			c.last = r
		}
		c.got = append(c.got, name(ev))
	}
	if d.Resp.Fragment {
		t.Fatalf("%s: got a fragment", c.name)
	}
	progress := len(d.Resp.Events) == 0 && !d.Resp.Created && !d.Resp.Canceled
	if rev := d.Resp.Header.GetRevision(); !c.m.lies && progress && !c.hasAll(rev) {
		t.Fatalf("%s: promised all up to %d, has them up to %d", c.name, rev, c.last)
	}
}

// hasAll reports that c has all up to rev, now or, since the promise may have waited for c, in what
// was the history before.
func (c *consumer) hasAll(rev int64) bool {
	return slices.ContainsFunc(append(slices.Clone(c.m.pasts), c.m.history), func(h []modelRevision) bool {
		if int64(len(h)) < rev {
			return false
		}
		last, _ := changed(h, rev)
		return last < c.start || last <= c.last
	})
}

func (m *model) drain(c *consumer) {
	for {
		it, ok := m.core.head(c.w)
		if !ok {
			return
		}
		c.take(it.d, it.last)
		m.core.taken(m.now, c.w)
		m.run()
	}
}

// step lets one thing happen.
func (m *model) step() {
	switch m.next(16) {
	case 0, 1:
		m.history = append(m.history, modelRevision{m.next(5), len(m.pasts)})
	case 2:
		if len(m.consumers) < 12 {
			m.addWatcher()
		}
	case 3, 4, 5, 6:
		m.serve()
	case 7, 8, 9, 10:
		m.sendEvents(m.next(3))
	case 11:
		if m.st != nil && m.next(2) == 0 {
			m.term += uint64(m.next(2))
			m.core.broken(m.now, m.st, errors.New("reset"), m.verdict())
		}
	case 12:
		if len(m.consumers) > 0 {
			c := m.consumers[m.next(len(m.consumers))]
			c.blocked = !c.blocked
			if !c.blocked {
				m.drain(c)
			}
		}
	case 13:
		m.passTime(time.Duration(m.next(8)) * 100 * time.Millisecond)
	case 14:
		switch m.next(8) {
		case 0:
			if len(m.consumers) > 0 {
				m.core.cancel(m.now, m.consumers[m.next(len(m.consumers))].w)
			}
		case 1:
			if m.revision() > 4 && len(m.pasts) == 0 && m.next(4) == 0 {
				m.compacted = max(m.compacted, m.revision()-int64(1+m.next(3)))
			}
		case 2:
			m.core.requestProgress(m.now, "")
		case 3:
			m.progress()
		case 4:
			m.restore()
		case 5, 6, 7: // as if its time had come
			if g := m.core.groups[""]; g != nil {
				m.core.ask(m.now, g)
			}
		}
	case 15:
		if len(m.consumers) > 0 { // the consumer takes one response
			c := m.consumers[m.next(len(m.consumers))]
			if it, ok := m.core.head(c.w); ok {
				c.take(it.d, it.last)
				m.core.taken(m.now, c.w)
			}
		}
	}
	m.run()
	m.openIfAsked()
	m.answerConfirms()
}

// verdict is why a stream fails. A response above the limit is followed by fragments.
func (m *model) verdict() Verdict {
	v := []Verdict{Retry, NoLeader, TooLarge}[m.next(3)]
	if v == TooLarge && m.st.g.cut {
		return Retry
	}
	return v
}

func (m *model) addWatcher() {
	r := &pb.WatchCreateRequest{Key: []byte("a"), Fragment: m.next(2) == 0, ProgressNotify: m.next(2) == 0}
	if n := m.next(4); n > 0 {
		r.StartRevision = max(1, m.revision()-int64(n)+2)
	}
	q := Request{Create: r, CreatedNotify: m.next(2) == 0}
	var listed *modelRevision
	if m.next(2) == 0 && m.revision() > m.compacted {
		q.Listing = m.list()
		r.StartRevision = q.Listing.Revision + 1
		listed = &modelRevision{}
		_, *listed = changed(m.history, m.revision())
	}
	w := newWatcher(q)
	c := &consumer{m: m, w: w, name: fmt.Sprintf("w%d", len(m.consumers)+1), start: r.StartRevision, listed: listed}
	m.consumers = append(m.consumers, c)
	m.byWatcher[w] = c
	m.core.add(m.now, "", w)
}

// list reads the keys as they are now: the first of a revision is written by each that has any.
func (m *model) list() *Listing {
	l := &Listing{Since: m.now, Revision: m.revision(), ClusterID: 7, Term: m.term}
	rev, r := changed(m.history, m.revision())
	l.Note(r.event(rev, 1).Kv)
	return l
}

// changed is the last revision up to rev that has events. The first has.
func changed(history []modelRevision, rev int64) (int64, modelRevision) {
	for history[rev-1].events == 0 {
		rev--
	}
	return rev, history[rev-1]
}

func (m *model) openIfAsked() {
	if m.st == nil || m.server != nil || m.next(2) == 0 {
		return
	}
	m.server = &modelStream{theirs: m.next(3) == 0, watchers: map[int64]*serverWatcher{}}
	m.core.opened(m.now, m.st, fmt.Sprintf("m%d", m.next(3)), time.Time{})
	m.run()
}

// answerConfirms answers the checks, or leaves one for later. The server may have read that one
// already.
func (m *model) answerConfirms() {
	for len(m.checks) > 0 {
		k := &m.checks[0]
		late := m.next(4)
		if !k.read && late != 1 {
			k.read, k.found = true, m.find(k.check)
		}
		if late == 1 || late == 2 {
			return
		}
		a, f := k.action, k.found
		m.checks = m.checks[1:]
		switch {
		case a.look:
			m.seen = m.seen || f.Different || f.Revision < a.check.Revision
			m.core.looked(m.now, a.st, a.round, f, nil, Retry)
		case a.w != nil:
			m.core.vouched(m.now, a.w, a.st, a.round, f, nil, Retry)
		case a.check.Member != "":
			m.core.told(m.now, a.st, Finding{Orders: 5}, nil)
		default:
			m.core.checked(m.now, a.g, f, nil, Retry)
		}
		m.run()
	}
}

func (m *model) find(q Check) Finding {
	f := Finding{Revision: m.revision(), ClusterID: 7, Term: m.term, Unproved: true}
	for rev := q.Seen + 1; q.Now && rev <= m.revision(); rev++ {
		for i := range m.history[rev-1].events {
			f.Changed = f.Changed || bytes.Equal(q.Put(), fmt.Appendf(nil, "a%d", i+1))
		}
	}
	if q.Revision == 0 || q.Revision > m.revision() || q.Revision <= m.compacted {
		return f
	}
	f.Unproved = false
	rev, r := changed(m.history, q.Revision)
	for _, ch := range q.Changes {
		same := false
		for i := range r.events {
			ev := r.event(rev, i+1)
			same = same || string(ev.Kv.Key) == string(ch.Key) && ch.SameAs(ev.Kv)
		}
		f.Different = f.Different || !same
	}
	return f
}

// restore puts a backup in the place of the history. It breaks all streams, but those to a proxy.
func (m *model) restore() {
	if m.compacted > 0 || m.revision() < 2 || len(m.pasts) > 2 {
		return // a change that a compaction hides cannot be noticed
	}
	m.pasts = append(m.pasts, slices.Clone(m.history))
	m.history = m.history[:max(1, m.revision()-int64(1+m.next(2)))]
	for range m.next(4) {
		m.history = append(m.history, modelRevision{m.next(5), len(m.pasts)})
	}
	switch s := m.server; {
	case s != nil && s.theirs && m.st.term > 1 && m.next(2) == 0:
		m.term = 1 + uint64(m.next(int(m.st.term-1))) // below what the stream has heard
		s.shown, s.late = 0, nil
		for _, w := range s.watchers {
			w.sent = 0 // the proxy's own client goes on at whole revisions
		}
	case m.st != nil:
		m.core.broken(m.now, m.st, errors.New("restart"), Retry)
	}
}

func (m *model) passTime(d time.Duration) {
	end := m.now.Add(d)
	g := m.core.groups[""]
	for g != nil && !g.armed.IsZero() && !g.armed.After(end) {
		m.now = g.armed
		m.core.tick(m.now, g)
		m.run()
		g = m.core.groups[""]
	}
	m.now = end
}

// serve lets the server handle one request. It may lag: then its header says so.
func (m *model) serve() {
	s := m.server
	if s == nil || len(s.requests) == 0 {
		return
	}
	req := s.requests[0]
	s.requests = s.requests[1:]
	switch {
	case req.GetCreateRequest() != nil:
		q := req.GetCreateRequest()
		id := q.WatchId
		if s.theirs {
			id = s.nextID
			s.nextID++
		}
		sw := &serverWatcher{next: q.StartRevision, cut: q.Fragment}
		if sw.next == 0 {
			sw.next = m.revision() + 1
			if len(m.st.creates) > 0 && m.st.creates[0].w != nil {
				m.byWatcher[m.st.creates[0].w].start = sw.next
			}
		}
		s.watchers[id] = sw
		s.order = append(s.order, id)
		h := m.header()
		if m.next(4) == 0 && q.StartRevision != 0 {
			h.Revision = max(1, s.shown, h.Revision-1) // a follower that lags
			h.RaftTerm -= uint64(m.next(2))
		}
		m.core.response(m.now, m.st, &pb.WatchResponse{Header: h, WatchId: id, Created: true}, nil, Retry)
	case req.GetCancelRequest() != nil:
		id := req.GetCancelRequest().WatchId
		if s.watchers[id] != nil {
			delete(s.watchers, id)
			m.core.response(m.now, m.st, &pb.WatchResponse{Header: m.header(), WatchId: id, Canceled: true}, nil, Retry)
		}
	default:
		for _, w := range s.watchers {
			if w.next <= m.revision() || w.sent > 0 {
				return // not synced: no answer
			}
		}
		s.shown = m.revision()
		s.late = append(s.late, &pb.WatchResponse{Header: m.header(), WatchId: -1})
		if m.next(2) == 0 {
			m.sendLate()
		}
	}
	m.run()
}

func (m *model) sendLate() {
	for m.server != nil && len(m.server.late) > 0 {
		resp := m.server.late[0]
		m.server.late = m.server.late[1:]
		m.core.response(m.now, m.st, resp, nil, Retry)
		m.run()
	}
}

// sendEvents sends to some watcher what it has not got: how 0 all, 1 some whole
// revisions, 2 a fragment.
func (m *model) sendEvents(how int) {
	m.sendLate()
	s := m.server
	if s == nil || len(s.order) == 0 {
		return
	}
	id := s.order[m.next(len(s.order))]
	w := s.watchers[id]
	if w == nil || w.next > m.revision() {
		return
	}
	if w.next <= m.compacted {
		delete(s.watchers, id)
		m.core.response(
			m.now,
			m.st,
			&pb.WatchResponse{Header: m.header(), WatchId: id, Canceled: true, CompactRevision: m.compacted},
			nil,
			Retry,
		)
		m.run()
		return
	}
	resp := &pb.WatchResponse{Header: m.header(), WatchId: id}
	budget := 1 << 30
	if how == 2 && w.cut {
		budget = 1 + m.next(4)
	}
	for revs := 0; w.next <= m.revision() && budget > 0 && (how != 1 || revs < 2); revs++ {
		for w.sent < m.history[w.next-1].events && budget > 0 {
			w.sent++
			budget--
			resp.Events = append(resp.Events, m.history[w.next-1].event(w.next, w.sent))
		}
		if w.sent == m.history[w.next-1].events {
			w.sent = 0
			w.next++
		}
	}
	if len(resp.Events) == 0 {
		return
	}
	resp.Fragment = w.sent > 0
	m.core.response(m.now, m.st, resp, nil, Retry)
	m.run()
}

func (m *model) progress() {
	s := m.server
	if s == nil || len(s.order) == 0 {
		return
	}
	m.sendLate()
	if m.server != s {
		return
	}
	id := s.order[m.next(len(s.order))]
	if w := s.watchers[id]; w != nil && w.next > m.revision() {
		m.core.response(m.now, m.st, &pb.WatchResponse{Header: m.header(), WatchId: id}, nil, Retry)
		m.run()
	}
}

// settle lets everything that is under way finish, and then checks.
func (m *model) settle() {
	m.bytes = nil // all choices 0 from here: no lag, no breaks
	for _, c := range m.consumers {
		c.blocked = false
	}
	for i := range 200 {
		for _, c := range m.consumers {
			m.drain(c)
		}
		m.run()
		if m.st != nil && m.server == nil {
			m.server = &modelStream{watchers: map[int64]*serverWatcher{}}
			m.core.opened(m.now, m.st, "m", time.Time{})
			m.run()
		}
		m.answerConfirms()
		for m.server != nil && len(m.server.requests) > 0 {
			m.bytes = []byte{1} // no lag
			m.serve()
		}
		if m.server != nil {
			for i := range m.server.order {
				m.bytes = []byte{byte(i)}
				m.sendEvents(0)
			}
			if m.server != nil && len(m.server.order) > 0 { // quiet watches learn of a restore by the next notification
				m.bytes = []byte{byte(i)}
				m.progress()
			}
		}
		m.bytes = nil
		if m.st == nil || m.st.unproved { // the next stream or proof is not asked for at once
			m.passTime(3 * time.Second)
		}
	}
	for _, c := range m.consumers {
		c.check()
	}
	if m.core.buffered != 0 || len(m.core.slow) != 0 {
		m.t.Fatalf("%d bytes still accounted, %d slow", m.core.buffered, len(m.core.slow))
	}
}

func (c *consumer) check() {
	m, t := c.m, c.m.t
	if c.ended > 1 {
		t.Fatalf("%s: %d ends", c.name, c.ended)
	}
	if c.ended == 0 && c.w.state != stateActive {
		t.Fatalf("%s: neither ended nor active: %s", c.name, c.w.state)
	}
	if c.final != nil && errors.Is(c.final.Err, ErrHistoryLost) {
		histories := m.pasts
		if m.seen { // which ends also those that have begun since
			histories = append(histories, m.history)
		}
		for _, past := range histories {
			if want := c.wants(past); len(c.got) <= len(want) && slices.Equal(c.got, want[:len(c.got)]) {
				return
			}
		}
		t.Fatalf("%s from %d lost its history, with what no history had: %v", c.name, c.start, c.got)
	}
	if c.final != nil && (c.final.Resp.CompactRevision == 0 || c.ended != 1) {
		t.Fatalf("%s: ended by %v, %v", c.name, c.final.Resp, c.final.Err)
	}
	if c.ended > 0 && len(m.pasts) > 0 {
		return // it left, who knows in which history
	}
	if c.listed != nil && c.ended == 0 {
		if _, now := changed(m.history, c.start-1); now != *c.listed {
			t.Fatalf("%s goes on from revision %d, which is another one now", c.name, c.start-1)
		}
	}
	want := c.wants(m.history)
	if c.ended > 0 && len(c.got) < len(want) {
		want = want[:len(c.got)]
	}
	if !slices.Equal(c.got, want) {
		t.Fatalf("%s from %d:\ngot  %v\nwant %v", c.name, c.start, c.got, want)
	}
}

// wants is what c gets if history is its cluster's.
func (c *consumer) wants(history []modelRevision) (want []string) {
	for rev := max(c.start, 1); c.start > 0 && rev <= int64(len(history)); rev++ {
		for i := range history[rev-1].events {
			want = append(want, name(history[rev-1].event(rev, i+1)))
		}
	}
	return want
}

func runModel(t *testing.T, data []byte) {
	m := newModel(t, data)
	for len(m.bytes) > 0 {
		m.step()
	}
	m.settle()
	m.core.close(m.now)
	m.run()
	for _, c := range m.consumers {
		if c.ended != 1 {
			t.Fatalf("%s: %d ends after close", c.name, c.ended)
		}
	}
}

func TestModel(t *testing.T) { scenario.Models(t, 1500, runModel) }

func FuzzModel(f *testing.F) { scenario.Fuzz(f, runModel) }
