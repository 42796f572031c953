package balancer

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/fairlead-go/fairlead/internal/endpoint"
)

// State is what the client thinks of a member; doc.go has the transitions.
type State uint8

const (
	Connecting State = iota // no connection that could carry a call
	Healthy
	Stalled // alive, but does not finish calls: no leader, no quorum, defragmenting, learner
	Ejected // its connection is silent; it or a fresh one must show life
)

func (s State) String() string {
	switch s {
	case Connecting:
		return "connecting"
	case Healthy:
		return "healthy"
	case Stalled:
		return "stalled"
	case Ejected:
		return "ejected"
	}
	return "unknown"
}

// Status is a snapshot of one member.
type Status struct {
	_        [0]func() // not comparable, see balancer.conn
	Endpoint string
	State    State
	Since    time.Time     // when State was entered
	Latency  time.Duration // of recent short calls, 0 before the first
	Err      error         // why it is not healthy, or the last failure
	ID       uint64        // etcd's member id, 0 before the first answer
}

// Member is one endpoint of the cluster. The atomic fields are written by every
// call; the rest belongs to the Set.
type Member struct {
	set  *Set
	ep   endpoint.Endpoint
	slot uint64 // one bit, distinct among the members of a set while there are at most 64

	latency atomic.Int64  // smoothed duration of short calls in ns; 0: unknown
	sampled atomic.Int64  // Set.now of the last sample in latency
	trip    average       // a message there and back
	agree   average       // a short call that needs consensus
	id      atomic.Uint64 // from answer headers

	// Guarded by set.mu.
	conn    *conn   // the one in use, or to be; nil while it may not be dialled yet
	next    *conn   // made beside a silent one, or after it; only while Ejected
	bulk    *conn   // the lane for much data
	retired []*conn // wait for their work to end

	state     State
	worked    bool // it had a working connection
	since     time.Time
	err       error
	silentAt  int64        // Set.now when the health check was sent whose silence ejected it
	stalled   bool         // only a finished call that needs consensus ends this; outlives connections
	stalledAt int64        // Set.now when it was first found stalled
	cuts      int          // silent connections that were replaced, each within cutMemory of the last
	cutAt     int64        // Set.now of the last
	witness   int64        // Set.now after which the connection in use has to show that it lives
	dialAt    int64        // Set.now: not before this a connection is made
	refusals  int          // fresh connections in a row that broke or stayed silent
	leftAt    int64        // Set.now when it left the endpoints; 0: it is one of them
	laneAsked bool         // a pick wants the lane
	laneAt    int64        // Set.now: not before this a lane is made
	addresses []netip.Addr // of the endpoint's name, as last looked up
	silent    []netip.Addr // of these, the last to be silent last
	diagnosed int64        // Set.now of the last look at why it closes connections; 0: never
}

// conns are all connections of m. It is not inlined: its copies made programs larger.
//
//go:noinline
func (m *Member) conns() []*conn {
	list := make([]*conn, 0, 3+len(m.retired))
	for _, c := range []*conn{m.conn, m.next, m.bulk} {
		if c != nil {
			list = append(list, c)
		}
	}
	return append(list, m.retired...)
}

// ready reports that m has a connection for ordinary calls.
func (m *Member) ready() bool {
	return m.leftAt == 0 && m.state != Ejected && m.conn != nil && m.conn.stage == ready
}

// coming reports that m may be ready soon: its first connection, or the one after one
// that worked, is still being tried.
func (m *Member) coming(now int64) bool {
	c := m.conn
	return m.state == Connecting && c != nil && !c.tried && now-c.made < int64(m.set.cfg.FirstConnect)
}

// hopeless reports that m is not what the configuration says, and never was.
func (m *Member) hopeless() bool { return m.conn != nil && m.conn.wrong && !m.worked }

// Name is the endpoint as the user wrote it.
func (m *Member) Name() string { return m.ep.Raw }

// Slot is the member's bit in Pick.Avoid.
func (m *Member) Slot() uint64 { return m.slot }

// ID is etcd's id of the member, 0 while unknown.
func (m *Member) ID() uint64 { return m.id.Load() }

// SetID notes the id found in an answer's header.
func (m *Member) SetID(id uint64) {
	if id != 0 && m.id.Load() != id {
		m.id.Store(id)
	}
}

// Usable reports that m has a working connection.
func (m *Member) Usable() bool {
	m.set.mu.Lock()
	defer m.set.mu.Unlock()
	return m.ready()
}

// Near reports that m has a working connection, and that a message there and back takes no longer
// than d.
func (m *Member) Near(d time.Duration) bool {
	return m.Usable() && time.Duration(m.trip.value.Load()) <= d
}

// MayAnswer reports that m has a working connection, or that its first one is being made.
func (m *Member) MayAnswer() bool {
	m.set.mu.Lock()
	defer m.set.mu.Unlock()
	return m.ready() || m.leftAt == 0 && m.coming(m.set.now())
}

// latencyFloor keeps differences that nobody notices from steering all calls to
// one member.
const latencyFloor = 200 * time.Microsecond

// sample takes the duration of a short call into the estimate. Slow answers
// count at once, fast ones over about eight calls.
func (m *Member) sample(d time.Duration, now int64) {
	old := m.latency.Load()
	v := int64(d)
	switch {
	case old == 0:
	case v > old:
		v = old + (v-old)/2
	default:
		v = old + (v-old)/8
	}
	m.latency.Store(max(v, 1))
	m.sampled.Store(now)
}

// answered learns from an attempt that took d and ended as o.
func (m *Member) answered(d, now int64, p *Pick, o Outcome) {
	if o != Unanswered && d < m.trip.value.Load() {
		m.trip.add(d, now) // a message there and back takes no longer
	}
	if o == Done && p.Short && p.Consensus {
		m.agreed(d, now)
	}
	if o == Unanswered {
		// How long an answer would have taken is not known; that it took longer than
		// usual is. The bound keeps an outage of the whole cluster from outlasting
		// itself in the estimates.
		d = min(d, int64(silenceMin))
	}
	if p.Short && (o == Done || d > m.latency.Load()) {
		m.sample(time.Duration(d), now)
	}
}

func (m *Member) why() string {
	switch {
	case m.err != nil && m.state != Connecting:
		return m.state.String() + ": " + m.err.Error()
	case m.err != nil:
		return m.err.Error()
	case m.conn != nil && !m.conn.tried:
		return "no answer to the first connection attempt for " +
			time.Duration(m.set.now()-m.conn.made).Round(time.Millisecond).String()
	}
	return m.state.String()
}
