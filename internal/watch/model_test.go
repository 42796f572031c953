package watch

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/watch/scenario"
)

// The model: a server that keeps to the protocol, with a history of revisions of
// several events each, and consumers that note what they get. Bytes decide what
// happens next. Whatever it is, every watcher must get exactly the events from its
// start, in order; only a compaction may end it early, after a prefix of them.
type model struct {
	t     *testing.T
	bytes []byte
	core  *core
	now   time.Time

	history   []int // how many events revision i+1 has
	compacted int64
	st        *stream
	server    *modelStream // nil: not open
	consumers []*consumer
	byWatcher map[*watcher]*consumer
	confirms  []*group
}

// modelStream is the server's side of a stream.
type modelStream struct {
	theirs   bool // assigns ids itself, as the proxy does
	nextID   int64
	requests []*pb.WatchRequest
	watchers map[int64]*serverWatcher
	order    []int64
}

type serverWatcher struct {
	next     int64 // revision to send next
	sent     int   // events of it that went out in a fragment
	fragment bool
}

type consumer struct {
	m       *model
	w       *watcher
	name    string
	start   int64 // 0: not confirmed yet
	got     []string
	last    int64
	blocked bool
	final   *Delivery
	ended   int
	frags   bool
}

func newModel(t *testing.T, data []byte) *model {
	m := &model{t: t, bytes: data, now: time.Unix(1_000_000, 0), byWatcher: map[*watcher]*consumer{}}
	m.core = newCore(6000, func() int { return 3 }, true, m.fraction)
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
	return &pb.ResponseHeader{ClusterId: 7, Revision: m.revision()}
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
			d := Delivery{a.resp, a.err}
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
			m.confirms = append(m.confirms, a.g)
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
		c.got = append(c.got, fmt.Sprintf("%d.%d", revision(ev), ev.GetKv().GetVersion()))
	}
	if d.Resp.Fragment && !c.frags {
		t.Fatalf("%s: got a fragment without asking", c.name)
	}
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
		m.history = append(m.history, 1+m.next(4))
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
			m.core.broken(m.now, m.st, errors.New("reset"), Verdict(m.next(2)))
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
			if m.revision() > 4 && m.next(4) == 0 {
				m.compacted = max(m.compacted, m.revision()-int64(1+m.next(3)))
			}
		case 2:
			m.core.requestProgress("")
		case 3:
			m.progress()
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

func (m *model) addWatcher() {
	r := &pb.WatchCreateRequest{Key: []byte("a"), Fragment: m.next(2) == 0, ProgressNotify: m.next(2) == 0}
	if n := m.next(4); n > 0 {
		r.StartRevision = max(1, m.revision()-int64(n)+2)
	}
	w := newWatcher(Request{Create: r, CreatedNotify: m.next(2) == 0})
	c := &consumer{m: m, w: w, name: fmt.Sprintf("w%d", len(m.consumers)+1), start: r.StartRevision, frags: r.Fragment}
	m.consumers = append(m.consumers, c)
	m.byWatcher[w] = c
	m.core.add(m.now, "", w)
}

func (m *model) openIfAsked() {
	if m.st == nil || m.server != nil || m.next(2) == 0 {
		return
	}
	m.server = &modelStream{theirs: m.next(3) == 0, watchers: map[int64]*serverWatcher{}}
	m.core.opened(m.now, m.st, fmt.Sprintf("m%d", m.next(3)))
	m.run()
}

func (m *model) answerConfirms() {
	for len(m.confirms) > 0 {
		g := m.confirms[0]
		m.confirms = m.confirms[1:]
		m.core.confirmed(m.now, g, m.revision(), 7, nil)
		m.run()
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
		sw := &serverWatcher{next: q.StartRevision, fragment: q.Fragment}
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
			h.Revision = max(1, h.Revision-1) // a follower that lags
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
		m.core.response(m.now, m.st, &pb.WatchResponse{Header: m.header(), WatchId: -1}, nil, Retry)
	}
	m.run()
}

// sendEvents sends to some watcher what it has not got: how 0 all, 1 some whole
// revisions, 2 a fragment (if it asked for them).
func (m *model) sendEvents(how int) {
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
		m.core.response(m.now, m.st, &pb.WatchResponse{Header: m.header(), WatchId: id, Canceled: true, CompactRevision: m.compacted}, nil, Retry)
		m.run()
		return
	}
	resp := &pb.WatchResponse{Header: m.header(), WatchId: id}
	budget := 1 << 30
	if how == 2 && w.fragment {
		budget = 1 + m.next(4)
	}
	for revs := 0; w.next <= m.revision() && budget > 0 && (how != 1 || revs < 2); revs++ {
		for w.sent < m.history[w.next-1] && budget > 0 {
			w.sent++
			budget--
			resp.Events = append(resp.Events, &mvccpb.Event{Kv: &mvccpb.KeyValue{
				Key: []byte("a"), ModRevision: w.next, Version: int64(w.sent), Value: make([]byte, 300)}})
		}
		if w.sent == m.history[w.next-1] {
			w.sent = 0
			w.next++
		}
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
	for range 200 {
		for _, c := range m.consumers {
			m.drain(c)
		}
		m.run()
		if m.st != nil && m.server == nil {
			m.server = &modelStream{watchers: map[int64]*serverWatcher{}}
			m.core.opened(m.now, m.st, "m")
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
		}
		m.bytes = nil
		if m.st == nil {
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
	if c.final != nil && (c.final.Resp.CompactRevision == 0 || c.ended != 1) {
		t.Fatalf("%s: ended by %v, %v", c.name, c.final.Resp, c.final.Err)
	}
	var want []string
	for rev := max(c.start, 1); c.start > 0 && rev <= m.revision(); rev++ {
		for i := range m.history[rev-1] {
			want = append(want, fmt.Sprintf("%d.%d", rev, i+1))
		}
	}
	if c.ended > 0 && len(c.got) < len(want) {
		want = want[:len(c.got)]
	}
	if fmt.Sprint(c.got) != fmt.Sprint(want) {
		t.Fatalf("%s from %d:\ngot  %v\nwant %v", c.name, c.start, c.got, want)
	}
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
