package balancer

import (
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"

	"github.com/fairlead-go/fairlead/internal/endpoint"
)

// State is what the client thinks of a member; doc.go has the transitions.
type State uint8

const (
	Connecting State = iota // no connection that could carry a call
	Healthy
	Suspect // silent while calls wait for it; a probe is on its way
	Stalled // alive, but does not finish calls: no leader, no quorum, defragmenting, learner
	Ejected // answered no probe; its connection was closed, a fresh one must prove itself
)

func (s State) String() string {
	switch s {
	case Connecting:
		return "connecting"
	case Healthy:
		return "healthy"
	case Suspect:
		return "suspect"
	case Stalled:
		return "stalled"
	case Ejected:
		return "ejected"
	}
	return "unknown"
}

// Status is a snapshot of one member.
type Status struct {
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

	calls     activity      // unary attempts of any kind
	consensus activity      // attempts that need the cluster's agreement
	lastByte  atomic.Int64  // Set.now of the last bytes that came from it
	latency   atomic.Int64  // smoothed duration of short calls in ns; 0: unknown
	sampled   atomic.Int64  // Set.now of the last sample in latency
	id        atomic.Uint64 // from answer headers

	// Guarded by set.mu.
	sc        balancer.SubConn // nil before gRPC asked for one and after removal
	conn      net.Conn         // the connection in use, or being set up
	ready     bool             // sc can carry calls
	state     State
	since     time.Time
	err       error
	wrong     bool  // the other side is not what the configuration says
	tried     bool  // a connection attempt has ended or lasted too long since there was a connection
	firstTry  int64 // Set.now when the first such attempt began
	probing   probeKind
	probeGen  uint64 // distinguishes a running probe from those given up
	probeAt   int64  // Set.now: not before this the next probe
	failures  int    // probes failed in a row, for the backoff
	connectAt int64  // Set.now: not before this it is dialled again; 0: not waiting
	readyAt   int64  // Set.now when the present connection became ready
	stalled   bool   // only an answered linearizable read ends this; outlives connections
	stalledAt int64  // Set.now when it was first found stalled
	flaps     int    // connections in a row that broke at once
	streams   map[*Stream]struct{}
	removed   bool
	explained bool  // err says why the present connection failed, better than gRPC does
	diagnosed int64 // Set.now of the last look at why it closes connections; 0: never
}

// activity counts calls under way and remembers when there was last an answer.
// Silence is the time since then, or since there is anything to wait for.
type activity struct {
	n     atomic.Int32
	since atomic.Int64 // when n last rose from 0
	last  atomic.Int64 // last answer
}

func (a *activity) begin(now int64) (first bool) {
	if a.n.Add(1) == 1 {
		a.since.Store(now)
		return true
	}
	return false
}

func (a *activity) end(now int64, answered bool) {
	if answered {
		a.last.Store(now)
	}
	a.n.Add(-1)
}

// silence is how long calls have been waiting for any answer; floor is the time
// before which silence does not count.
func (a *activity) silence(now, floor int64) time.Duration {
	if a.n.Load() <= 0 {
		return 0
	}
	return time.Duration(now - max(a.since.Load(), a.last.Load(), floor))
}

// Endpoint implements transport.Peer.
func (m *Member) Endpoint() endpoint.Endpoint { return m.ep }

// Name is the endpoint as the user wrote it.
func (m *Member) Name() string { return m.ep.Raw }

// ID is etcd's id of the member, 0 while unknown.
func (m *Member) ID() uint64 { return m.id.Load() }

// SetID notes the id found in an answer's header.
func (m *Member) SetID(id uint64) {
	if id != 0 && m.id.Load() != id {
		m.id.Store(id)
	}
}

// BytesArrived implements transport.Peer.
func (m *Member) BytesArrived() { m.lastByte.Store(m.set.now()) }

// ConnOpened implements transport.Peer.
func (m *Member) ConnOpened(c net.Conn) {
	m.set.mu.Lock()
	defer m.set.mu.Unlock()
	m.conn = c
	m.lastByte.Store(m.set.now())
}

// ConnFailed implements transport.Peer.
func (m *Member) ConnFailed(err error, wrong bool) {
	m.set.mu.Lock()
	defer m.set.mu.Unlock()
	m.err, m.wrong, m.explained = err, wrong, true
	if wrong {
		m.tried = true
	}
}

// diagnoseEvery bounds the connections that are made only to explain failures.
const diagnoseEvery = 10 * time.Second

// MayDiagnose implements transport.Peer.
func (m *Member) MayDiagnose() bool {
	m.set.mu.Lock()
	defer m.set.mu.Unlock()
	now := m.set.now()
	if m.diagnosed != 0 && now-m.diagnosed < int64(diagnoseEvery) {
		return false
	}
	m.diagnosed = max(now, 1)
	return true
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

// cost orders members for picking: expected latency, times the calls that
// already wait there.
func (m *Member) cost() int64 {
	return max(m.latency.Load(), int64(latencyFloor)) * int64(m.calls.n.Load()+1)
}

// Stream is a stream that runs on a member, as the Set sees it.
type Stream struct {
	m    *Member
	move func(error) // ends the stream; called at most once per reason, never under set.mu
}

// Remove forgets the stream; call it when the stream has ended.
func (s *Stream) Remove() {
	s.m.set.mu.Lock()
	defer s.m.set.mu.Unlock()
	delete(s.m.streams, s)
}
