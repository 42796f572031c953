package lease

import (
	"errors"
	"fmt"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/fairlead-go/fairlead/internal/watch/scenario"
)

// The model: members that handle each stream in order and answer when they like, or
// never; a lease table as the server has it; streams that break, and a process that
// is paused. Bytes decide what happens. Whatever it is:
//   - a lease that the client believes alive is alive on the server;
//   - each keep ends once, and hears nothing after that;
//   - when the servers behave again, every lease that has not ended is renewed.
type model struct {
	t     *testing.T
	bytes []byte
	core  *core
	now   time.Duration

	expiry  map[int64]time.Duration // the server's table; counted from the handling
	ttl     map[int64]int64
	streams []*modelStream
	keeps   []*modelKeep
	byKeep  map[*keep]*modelKeep
	nextID  int64
	sleptAt time.Duration // when the machine woke last
}

type modelStream struct {
	st    *stream
	open  bool
	shut  bool
	mute  bool                         // handles renewals, answers none
	deaf  bool                         // does not even handle them
	reqs  []int64                      // sent, not handled
	resps []*pb.LeaseKeepAliveResponse // handled, not delivered
}

type modelKeep struct {
	k       *keep
	id      int64
	renewed int
	last    time.Duration // when it was renewed last
	ended   int
	reason  Reason
}

func newModel(t *testing.T, data []byte) *model {
	m := &model{
		sleptAt: -time.Hour,
		t:       t,
		bytes:   data,
		expiry:  map[int64]time.Duration{},
		ttl:     map[int64]int64{},
		byKeep:  map[*keep]*modelKeep{},
	}
	m.core = newCore(DefaultFirstAnswer, func() float64 { return float64(m.next(4)) / 4 })
	return m
}

func (m *model) next(n int) int {
	if len(m.bytes) == 0 {
		return 0
	}
	b := int(m.bytes[0])
	m.bytes = m.bytes[1:]
	return b % n
}

func (m *model) stream(st *stream) *modelStream {
	for _, s := range m.streams {
		if s.st == st {
			return s
		}
	}
	return nil
}

func (m *model) run() {
	for _, a := range m.core.acts {
		switch a.kind {
		case actOpen:
			m.streams = append(m.streams, &modelStream{st: a.st})
		case actSend:
			s := m.stream(a.st)
			s.reqs = append(s.reqs, a.id)
		case actShut:
			m.stream(a.st).shut = true
		case actRenewed:
			if a.resp.TTL <= 0 {
				m.t.Fatalf("renewed with TTL %d", a.resp.TTL)
			}
			for k := a.l.keeps; k != nil; k = k.next {
				mk := m.byKeep[k]
				if mk.ended > 0 {
					m.t.Fatalf("keep of %d renewed after its end", mk.id)
				}
				mk.renewed++
				mk.last = m.now
			}
		case actAtRisk:
			for k := a.l.keeps; k != nil; k = k.next {
				if mk := m.byKeep[k]; mk.ended > 0 {
					m.t.Fatalf("keep of %d at risk after its end", mk.id)
				}
			}
		case actEnded:
			mk := m.byKeep[a.k]
			mk.ended++
			mk.reason = a.reason
			if mk.ended > 1 {
				m.t.Fatalf("keep of %d ended twice", mk.id)
			}
			if a.reason == Unrenewed && a.k.persists {
				m.t.Fatalf("keep of %d that persists ended as unrenewed", mk.id)
			}
			if exp := m.expiry[mk.id]; a.reason == Expired && exp > m.now && m.ttl[mk.id] > 0 {
				m.t.Fatalf("lease %d reported expired at %v, it lives until %v", mk.id, m.now, exp)
			}
		}
	}
	m.core.acts = m.core.acts[:0]
}

// check is the central promise: whatever the client believes alive is alive.
func (m *model) check() {
	for _, mk := range m.keeps {
		if mk.ended > 0 || mk.renewed == 0 || m.expiry[mk.id] > m.now {
			continue
		}
		// After a sleep, or if the keep persists, the client may have to ask the server first.
		// Until then it must not say that it holds the lease.
		if until, ok := m.core.heldUntil(mk.id); ok && until > m.now ||
			!mk.k.persists && m.now > m.sleptAt+4*time.Second {
			m.t.Fatalf(
				"at %v the client still keeps lease %d, the server expired it at %v",
				m.now,
				mk.id,
				m.expiry[mk.id],
			)
		}
	}
	if most := maxStreams + maxSearch + maxLate; len(m.core.streams) > most {
		m.t.Fatalf("%d streams", len(m.core.streams))
	}
}

// pass lets time go by, with timers that fire in time.
func (m *model) pass(d time.Duration) {
	end := m.now + d
	for n := 0; m.core.armed <= end; n++ {
		if n > 10_000 {
			m.t.Fatalf("the timer fires all the time at %v", m.now)
		}
		m.now = max(m.now, m.core.armed)
		m.core.tick(m.now)
		m.run()
		m.check()
	}
	m.now = end
}

func (m *model) step() {
	var s *modelStream
	if n := len(m.streams); n > 0 {
		s = m.streams[n-1-m.next(min(n, 4))]
	}
	switch op := m.next(16); {
	case op == 0 && len(m.keeps) < 40:
		m.keep()
	case op == 1 && len(m.keeps) > 0:
		mk := m.keeps[m.next(len(m.keeps))]
		switch m.next(8) {
		case 0:
			if mk.ended == 0 {
				m.core.cancel(m.now, mk.k, errors.New("cancelled"))
			}
		case 1:
			m.ttl[mk.id] = 0 // gone on the server
			m.core.revoked(m.now, mk.id)
		case 2:
			m.ttl[mk.id] = 0 // another client revoked it: until this client hears of that, it cannot know
			m.expiry[mk.id] = 1 << 62
		}
	case op == 2 && s != nil && !s.open && !s.shut:
		s.open = true
		s.mute, s.deaf = m.next(4) == 0, m.next(6) == 0
		m.core.opened(m.now, s.st, fmt.Sprintf("m%d", m.next(3)))
	case op == 3 && s != nil && !s.shut && m.next(3) == 0:
		v := Retry
		if m.next(16) == 0 {
			v = Fatal
		} else if m.next(4) == 0 {
			v = Denied
		} else if m.next(4) == 0 {
			v = Blameless
		}
		m.core.failed(m.now, s.st, errors.New("broken"), v)
	case op == 4:
		m.pass(time.Duration(m.next(10)) * 150 * time.Millisecond)
	case op == 5 && m.next(8) == 0: // the process is paused
		m.now += time.Duration(m.next(40)) * 100 * time.Millisecond
		if m.core.armed <= m.now {
			m.core.tick(m.now)
		}
	case op == 6 && m.next(8) == 0: // the machine sleeps, or its clock is set
		length := time.Duration(1+m.next(200)) * 100 * time.Millisecond
		if m.next(2) == 0 {
			for id := range m.expiry {
				m.expiry[id] -= length
			}
		}
		m.sleptAt = m.now
		m.core.sleeping(m.now, length)
	case op < 11 && s != nil:
		m.handle(s)
	case s != nil:
		m.deliver(s)
	}
	m.run()
	if m.core.armed > m.now { // otherwise the timer is yet to come after a pause
		m.check()
	}
}

func (m *model) keep() {
	id := m.nextID + 1
	if m.next(4) == 0 && m.nextID > 0 {
		id = 1 + int64(m.next(int(m.nextID)))
	} else {
		m.nextID++
		m.ttl[id] = int64(2 + m.next(8))
		sent := m.now
		m.expiry[id] = m.now + seconds(m.ttl[id])
		if m.next(2) == 0 {
			m.core.granted(m.now, id, seconds(m.ttl[id]), sent, 0)
		}
	}
	mk := &modelKeep{k: &keep{persists: m.next(4) == 3}, id: id, last: m.now}
	m.keeps = append(m.keeps, mk)
	m.byKeep[mk.k] = mk
	m.core.keepAlive(m.now, id, mk.k)
}

// handle lets the server handle one renewal, also on a stream the client has left.
func (m *model) handle(s *modelStream) {
	if !s.open || s.deaf || len(s.reqs) == 0 {
		return
	}
	id := s.reqs[0]
	s.reqs = s.reqs[1:]
	resp := &pb.LeaseKeepAliveResponse{ID: id}
	if m.ttl[id] > 0 && m.expiry[id] > m.now {
		resp.TTL = m.ttl[id]
		m.expiry[id] = m.now + seconds(resp.TTL)
	} else {
		m.ttl[id] = 0
	}
	if !s.mute {
		s.resps = append(s.resps, resp)
	}
}

func (m *model) deliver(s *modelStream) {
	if len(s.resps) == 0 {
		return
	}
	resp := s.resps[0]
	s.resps = s.resps[1:]
	m.core.answer(m.now, s.st, resp)
}

// settle: everything works from now on; every lease left must be renewed.
func (m *model) settle() {
	m.bytes = nil
	m.pass(0)
	began := m.now
	for m.now < began+30*time.Second {
		m.pass(20 * time.Millisecond)
		for _, s := range m.streams {
			if s.shut {
				continue
			}
			if !s.open {
				s.open = true
				m.core.opened(m.now, s.st, "good")
				m.run()
			}
			for len(s.reqs) > 0 && !s.deaf {
				m.handle(s)
			}
			for len(s.resps) > 0 {
				m.deliver(s)
				m.run()
			}
		}
		m.check()
	}
	for _, mk := range m.keeps {
		if mk.ended == 0 && m.now-mk.last > 5*time.Second {
			m.t.Fatalf("lease %d was renewed last at %v, now it is %v", mk.id, mk.last, m.now)
		}
	}
	if n := len(m.core.streams); n > 1 {
		m.t.Fatalf("%d streams although all is quiet", n)
	}
	m.core.close(m.now)
	m.run()
	for _, mk := range m.keeps {
		if mk.ended != 1 {
			m.t.Fatalf("keep of %d ended %d times", mk.id, mk.ended)
		}
	}
	if c := m.core; len(c.leases)+len(c.timers.items)+c.queued()+len(c.apart.items)+len(c.streams) > 0 {
		m.t.Fatal("something is left after close")
	}
}

func runModel(t *testing.T, data []byte) {
	m := newModel(t, data)
	for len(m.bytes) > 0 {
		m.step()
	}
	m.settle()
}

func TestModel(t *testing.T) { scenario.Models(t, 2000, runModel) }

func FuzzModel(f *testing.F) { scenario.Fuzz(f, runModel) }
