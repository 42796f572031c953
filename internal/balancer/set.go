package balancer

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"

	"github.com/fairlead-go/fairlead/internal/endpoint"
	"github.com/fairlead-go/fairlead/internal/transport"
	"github.com/fairlead-go/fairlead/internal/worker"
)

const unavailable = codes.Unavailable

// Config holds the times that verdicts depend on; zero means the default.
type Config struct {
	SuspectAfter, ProbeTimeout    time.Duration
	StallAfter, StallProbeTimeout time.Duration
	StreamProbeAfter              time.Duration
	FirstConnect                  time.Duration
	TLS                           bool         // endpoints that do not say use TLS
	MaxRecv                       int          // bound of responses in bytes; gRPC's default of 4 MiB if zero
	Observe                       func(Change) // called after each change of state; nil for nobody
	Log                           *slog.Logger
}

// Change is a change of a member's state.
type Change struct {
	Endpoint string
	From, To State
	Err      error
}

func (c *Config) setDefaults() {
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&c.SuspectAfter, SuspectAfter}, {&c.ProbeTimeout, ProbeTimeout}, {&c.StallAfter, StallAfter},
		{&c.StallProbeTimeout, StallProbeTimeout}, {&c.StreamProbeAfter, StreamProbeAfter}, {&c.FirstConnect, FirstConnect},
	} {
		if *d.v <= 0 {
			*d.v = d.d
		}
	}
	if c.MaxRecv <= 0 {
		c.MaxRecv = 4 << 20
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Set is the members of one client. Safe for concurrent use.
type Set struct {
	cfg   Config
	base  time.Time
	now   func() int64     // nanoseconds, monotonic, since base
	wall  func() time.Time // for people
	group *worker.Group
	wake  chan struct{} // capacity 1; makes the monitor look now
	// asleep: the monitor will not look for a while, wake it when calls begin.
	asleep atomic.Bool
	count  atomic.Int32  // usable members in the current view
	slots  atomic.Uint64 // their slots

	mu       sync.Mutex
	members  []*Member           // guarded by mu; the current endpoints, in the user's order
	nextSlot uint                // guarded by mu
	cc       balancer.ClientConn // guarded by mu; nil while gRPC has no balancer of ours
	rcc      resolver.ClientConn // guarded by mu; nil before gRPC built the resolver
	lastTick int64               // guarded by mu
	expected time.Duration       // guarded by mu; the wait that the last tick asked for
	floor    int64               // guarded by mu; silence before this does not count
	closed   bool                // guarded by mu
}

// New returns a set of members and starts its monitor. Close ends it.
func New(cfg Config, endpoints []endpoint.Endpoint) *Set {
	s := newSet(cfg, endpoints)
	s.group = worker.New(context.Background())
	s.group.Go(s.monitor)
	return s
}

func newSet(cfg Config, endpoints []endpoint.Endpoint) *Set {
	cfg.setDefaults()
	s := &Set{cfg: cfg, base: time.Now(), wall: time.Now, wake: make(chan struct{}, 1)}
	s.now = func() int64 { return int64(time.Since(s.base)) }
	s.members = s.merge(endpoints)
	return s
}

// Close stops the monitor and all probes and waits for them.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.group.Stop()
}

// merge keeps the members that stay and makes those that are new. Callers hold
// mu or own s.
func (s *Set) merge(endpoints []endpoint.Endpoint) []*Member {
	list := make([]*Member, 0, len(endpoints))
	for _, e := range endpoints {
		var m *Member
		for _, old := range s.members {
			if old.ep.Target() == e.Target() && transport.UseTLS(old.ep, s.cfg.TLS) == transport.UseTLS(e, s.cfg.TLS) {
				m = old
			}
		}
		if m == nil {
			m = &Member{
				set: s, ep: e, slot: 1 << (s.nextSlot % 64), since: s.wall(), firstTry: s.now(),
				streams: make(map[*Stream]struct{}),
			}
			s.nextSlot++
		}
		list = append(list, m)
	}
	return list
}

// SetEndpoints replaces the endpoints. Members that stay keep their connections
// and their history; streams on those that go are moved.
func (s *Set) SetEndpoints(endpoints []endpoint.Endpoint) {
	var fx effects
	s.mu.Lock()
	old := s.members
	s.members = s.merge(endpoints)
	keep := make(map[*Member]bool, len(s.members))
	for _, m := range s.members {
		keep[m] = true
	}
	for _, m := range old {
		if !keep[m] {
			m.removed = true
			m.err = fmt.Errorf("%s is not among the endpoints any more", m.Name())
			s.moveStreams(m, &fx)
		}
	}
	rcc, state := s.rcc, s.resolverState()
	s.mu.Unlock()
	s.carryOut(&fx)
	if rcc != nil {
		// gRPC answers by calling UpdateClientConnState, which takes mu.
		_ = rcc.UpdateState(state) // its error is about policies that we do not let it choose
	}
}

// Members lists the members in the order of the endpoints.
func (s *Set) Members() []*Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Member(nil), s.members...)
}

// Len is the number of members.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.members)
}

// Find returns the member for an endpoint, nil if it is none of ours.
func (s *Set) Find(e endpoint.Endpoint) *Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members {
		if m.ep.Target() == e.Target() && transport.UseTLS(m.ep, s.cfg.TLS) == transport.UseTLS(e, s.cfg.TLS) {
			return m
		}
	}
	return nil
}

// States describes all members.
func (s *Set) States() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Status, len(s.members))
	for i, m := range s.members {
		list[i] = Status{Endpoint: m.Name(), State: m.state, Since: m.since, Latency: time.Duration(m.latency.Load()), Err: m.err, ID: m.ID()}
	}
	return list
}

// AddStream registers a stream that runs on m: end is called, once and from
// another goroutine, when the stream has to move to another member.
func (s *Set) AddStream(m *Member, end func(error)) *Stream {
	st := &Stream{m: m, move: end}
	s.mu.Lock()
	bad := m.removed || !m.ready
	if !bad {
		m.streams[st] = struct{}{}
	}
	err := m.err
	s.mu.Unlock()
	if bad {
		if err == nil {
			err = errConnLost
		}
		end(err)
		return st
	}
	s.poke()
	return st
}

// Usable is how many members could take a call now.
func (s *Set) Usable() int { return int(s.count.Load()) }

// Alternative reports that a member other than those with these slots could take a
// call now.
func (s *Set) Alternative(slots uint64) bool { return s.slots.Load()&^slots != 0 }

// Usable reports that m has a working connection.
func (m *Member) Usable() bool {
	m.set.mu.Lock()
	defer m.set.mu.Unlock()
	return m.ready && !m.removed
}

// poke makes the monitor look at the members now.
func (s *Set) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Explain says of each member what state it is in and why.
func (s *Set) Explain() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.explain()
}

// explain says of each member why it is not available. Callers hold mu.
func (s *Set) explain() string {
	var b strings.Builder
	for i, m := range s.members {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(m.Name() + ": " + m.why())
	}
	return b.String()
}

func (m *Member) why() string {
	switch {
	case m.err != nil && m.state != Connecting:
		return m.state.String() + ": " + m.err.Error()
	case m.err != nil:
		return m.err.Error()
	case !m.tried:
		return fmt.Sprintf("no answer to the first connection attempt for %v", time.Duration(m.set.now()-m.firstTry).Round(time.Millisecond))
	}
	return m.state.String()
}
