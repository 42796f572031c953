package balancer

import (
	"context"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/balancer"

	"github.com/fairlead-go/fairlead/internal/endpoint"
	"github.com/fairlead-go/fairlead/internal/transport"
	"github.com/fairlead-go/fairlead/internal/worker"
)

// Config holds the limits that verdicts depend on. The first three follow each member's
// own times (limits.go) unless they are set; zero of the others means the default.
type Config struct {
	SilenceLimit, ProbeTimeout, StallTimeout time.Duration
	StreamProbeAfter                         time.Duration
	FirstConnect                             time.Duration
	TLS                                      bool // endpoints that do not say use TLS
	// bound of responses in bytes; gRPC's default of 4 MiB if zero
	MaxRecv int
	Observe func(Change) // called after each change of state; nil for nobody
	// Found is called when an endpoint with a name is dialled, with what a lookup has found,
	// if anything was looked up; nil for nobody.
	Found func(endpoint.Endpoint, []netip.Addr)
	// Token returns what gives up the token that calls carry at present, and reports whether they
	// still did; nil, or a nil result: there is none that could be renewed.
	Token func() (giveUp func() bool)
	Log   *zap.Logger
}

// Change is a change of a member's state.
type Change struct {
	_        [0]func() // not comparable, see balancer.conn
	Endpoint string
	From, To State
	Err      error
}

func (c *Config) setDefaults() {
	if c.StreamProbeAfter <= 0 {
		c.StreamProbeAfter = StreamProbeAfter
	}
	if c.FirstConnect <= 0 {
		c.FirstConnect = FirstConnect
	}
	if c.MaxRecv <= 0 {
		c.MaxRecv = 4 << 20
	}
	if c.Token == nil {
		c.Token = func() func() bool { return nil }
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
}

// Moves of streams off members that are alive are limited per client to so many at once,
// then one in moveEvery.
const (
	movesBurst = 3
	moveEvery  = time.Minute
)

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

	agree   average      // a short call that needs consensus, of any member
	floor   atomic.Int64 // silence before this does not count
	holding atomic.Bool  // changes are held back, see Set.holds

	mu       sync.Mutex
	members  []*Member           // guarded by mu; the current endpoints, in the user's order
	leaving  []*Member           // guarded by mu; endpoints no more, but calls run on them
	cc       balancer.ClientConn // guarded by mu; nil while gRPC has no balancer of ours
	usable   []*conn             // guarded by mu; those that the picker has
	wide     bool                // guarded by mu; the picker has stalled members too
	online   bool                // guarded by mu; connections may be made
	moves    allowance           // guarded by mu
	lastTick int64               // guarded by mu
	released int64               // guarded by mu; when those that are held back were last asked again
	expected time.Duration       // guarded by mu; the wait that the last tick asked for
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
	s := &Set{
		cfg: cfg, base: time.Now(), wall: time.Now, wake: make(chan struct{}, 1),
		moves: allowance{most: movesBurst, every: moveEvery, left: movesBurst},
	}
	s.now = func() int64 { return int64(time.Since(s.base)) }
	s.members = s.merge(endpoints)
	return s
}

// Close stops the monitor and all probes and waits for them.
func (s *Set) Close() { s.group.Stop() }

// same reports that m is the member for e.
func (s *Set) same(m *Member, e endpoint.Endpoint) bool {
	return m.ep.Target() == e.Target() && m.ep.At == e.At &&
		transport.UseTLS(m.ep, s.cfg.TLS) == transport.UseTLS(e, s.cfg.TLS)
}

// merge keeps the members that stay, takes those back that are leaving, and makes those
// that are new. Callers hold mu or own s.
func (s *Set) merge(endpoints []endpoint.Endpoint) []*Member {
	list := make([]*Member, 0, len(endpoints))
	known := slices.Concat(s.members, s.leaving)
	for _, e := range endpoints {
		i := slices.IndexFunc(known, func(m *Member) bool { return s.same(m, e) })
		if i < 0 {
			i = len(known)
			known = append(known, &Member{set: s, ep: e, slot: freeSlot(known), since: s.wall()})
		}
		list = append(list, known[i])
	}
	return list
}

// freeSlot is the lowest bit that no member has; they share the highest if there are
// more than 64.
func freeSlot(known []*Member) uint64 {
	taken := uint64(0)
	for _, m := range known {
		taken |= m.slot
	}
	return 1 << min(bits.TrailingZeros64(^taken), 63)
}

// SetEndpoints replaces the endpoints. Members that stay keep their connections and
// their history. Streams on those that go are moved, unless they are back within leaveAfter;
// calls are finished there.
func (s *Set) SetEndpoints(endpoints []endpoint.Endpoint) {
	s.change(func(now int64, fx *effects) { s.replace(endpoints, now, fx) })
	s.poke()
}

func (s *Set) replace(endpoints []endpoint.Endpoint, now int64, fx *effects) {
	old := s.members
	s.members = s.merge(endpoints)
	fx.publish = true
	for _, m := range s.members {
		if m.leftAt != 0 {
			m.leftAt = 0
			s.leaving = slices.DeleteFunc(s.leaving, func(o *Member) bool { return o == m })
			if m.ready() {
				m.conn.open(true)
			}
		}
		if m.conn == nil && s.online && m.state == Connecting && now >= m.dialAt {
			m.conn = s.dial(m, false, now, fx)
		}
	}
	for _, m := range old {
		if !slices.Contains(s.members, m) {
			m.leftAt = max(now, 1)
			m.err = fmt.Errorf("%s is not among the endpoints any more", m.Name())
			s.leaving = append(s.leaving, m)
			for _, c := range m.conns() {
				c.open(false)
			}
		}
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
		if s.same(m, e) || m.ep.Raw == e.Raw {
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
		list[i] = Status{
			Endpoint: m.Name(),
			State:    m.state,
			Since:    m.since,
			Latency:  time.Duration(m.latency.Load()),
			Err:      m.err,
			ID:       m.ID(),
		}
	}
	return list
}

// Usable is how many members could take a call now.
func (s *Set) Usable() int { return int(s.count.Load()) }

// Alternative reports that a member other than those with these slots could take a
// call now.
func (s *Set) Alternative(slots uint64) bool { return s.slots.Load()&^slots != 0 }

// poke makes the monitor look at the members now. It is not inlined: its copies made programs
// larger.
//
//go:noinline
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
