package balancer

import (
	"net"
	"net/netip"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"

	"github.com/fairlead-go/fairlead/internal/endpoint"
)

// conn is one connection to a member: for gRPC a SubConn, for transport a Peer. It is
// dialled until it is ready once, carries work, and is never ready again after it broke:
// the member gets a new one then. doc.go says in which roles a member has connections.
//
// The atomic fields are written by every call, the list of work by every pick.
type conn struct {
	_        [0]func() // not comparable: what compares two would make programs larger
	m        *Member
	lane     bool         // for much data
	calls    activity     // unary attempts of any kind
	quorum   activity     // attempts that need the cluster's agreement
	begins   activity     // streams that have asked for something and have no answer yet
	lastByte atomic.Int64 // Set.now of the last bytes that came
	asked    atomic.Int64 // Set.now of the probe for life that waits for an answer; 0: none
	pondered atomic.Int64 // the same for the probe for consensus
	opened   atomic.Int64 // Set.now when the newest stream began that its owner opens anew
	usedAt   atomic.Int64 // of a lane: Set.now when it last had work
	tracked  atomic.Bool  // transport sees its bytes
	wanted   atomic.Bool  // changes go elsewhere until it is known whether the token is accepted here

	work struct {
		_     [0]func() // not comparable, as above
		mu    sync.Mutex
		open  bool         // may take more; only the connection in use and a lane do
		first *Pick        // everything that runs on it, linked through Pick.link
		count [classes]int // by class, without what was cancelled
	}

	// Guarded by set.mu.
	sub          balancer.SubConn // nil before gRPC made it
	net          net.Conn         // nil if neither the dialer nor the credentials are ours
	stage        stage
	retired      bool  // waits for its work to end
	tried        bool  // one attempt to connect has ended, well or not
	overdue      bool  // that one has been waited for long enough
	made         int64 // Set.now when it was made
	dialled      int64 // when the present attempt to connect began
	readyAt      int64
	failed       error // why the last attempt to connect failed, in better words than gRPC's
	wrong        bool  // the other side is not what the configuration says
	probing      probeKind
	early        bool   // the probe for consensus is made before calls have waited for so long that they are in doubt
	beside       bool   // a probe for life is under way beside one for consensus
	besideAt     int64  // Set.now: not before this the next of that kind
	probeGen     uint64 // distinguishes a running probe from those given up
	probeAt      int64  // Set.now: not before this the next probe
	failures     int    // probes failed in a row, for the backoff
	leaderAt     int64  // Set.now: not before this the member is asked for its leader
	unsaid       int    // how often in a row it did not answer that
	leaderlessAt int64  // Set.now when it said that it has no leader; outdated once quorum.last is later
}

type stage uint8

const (
	dialing stage = iota
	ready
	lost // broken, or closed by the server, which may still finish what runs on it
)

// Class says what a verdict about its connection does to a piece of work.
type Class uint8

const (
	// Write stays until it is answered or its connection is proved dead: it may have
	// been executed.
	Write Class = iota
	// Read may be sent again and goes elsewhere at once.
	Read
	// Session is a stream that its owner opens anew elsewhere: watches, renewals.
	Session
	// Bulk is a stream of much data. It stays as writes do, since it would begin again
	// from nothing, unless it resumes (Pick.Resumes).
	Bulk
	classes = iota
)

// add notes that p runs on c, unless c takes nothing more.
func (c *conn) add(p *Pick) bool {
	w := &c.work
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.open {
		return false
	}
	p.link.next, p.link.prev = w.first, nil
	if w.first != nil {
		w.first.link.prev = p
	}
	w.first, p.ended = p, false
	w.count[p.Class]++
	return true
}

// remove forgets p, which add took. The monitor closes a connection that waited for it.
func (c *conn) remove(p *Pick) {
	w := &c.work
	w.mu.Lock()
	if p.link.prev != nil {
		p.link.prev.link.next = p.link.next
	} else {
		w.first = p.link.next
	}
	if p.link.next != nil {
		p.link.next.link.prev = p.link.prev
	}
	p.link.next, p.link.prev = nil, nil
	if !p.ended {
		w.count[p.Class]--
	}
	over := !w.open && w.first == nil
	w.mu.Unlock()
	if c.lane {
		c.usedAt.Store(c.m.set.now())
	}
	if over {
		c.m.set.poke()
	}
}

func (c *conn) open(yes bool) {
	c.work.mu.Lock()
	c.work.open = yes
	c.work.mu.Unlock()
}

// busy reports whether anything runs on c.
func (c *conn) busy() bool {
	c.work.mu.Lock()
	defer c.work.mu.Unlock()
	return c.work.first != nil
}

// running is how much of a class runs on c.
func (c *conn) running(class Class) int {
	c.work.mu.Lock()
	defer c.work.mu.Unlock()
	return c.work.count[class]
}

// end cancels the work on c for which fits is true; why is the reason.
func (c *conn) end(fx *effects, why error, fits func(*Pick) bool) {
	c.work.mu.Lock()
	defer c.work.mu.Unlock()
	for p := c.work.first; p != nil; p = p.link.next {
		if p.Cancel != nil && !p.ended && fits(p) {
			p.ended = true
			c.work.count[p.Class]--
			fx.cancel = append(fx.cancel, cancellation{p.Cancel, why})
		}
	}
}

// probe notes which probe is under way. Callers hold set.mu.
func (c *conn) probe(kind probeKind, now int64) {
	c.probing = kind
	c.asked.Store(0)
	c.pondered.Store(0)
	switch kind {
	case aliveProbe:
		c.asked.Store(now)
	case consensusProbe:
		c.pondered.Store(now)
	}
}

// quiet is how long nothing has come from the other side. It is not inlined, as silenceLimit.
//
//go:noinline
func (c *conn) quiet(now int64) time.Duration {
	return time.Duration(now - max(c.lastByte.Load(), c.m.set.floor.Load()))
}

// unmet is how long the newest stream that its owner opens anew has waited for its first byte.
func (c *conn) unmet(now int64) time.Duration {
	if opened := c.opened.Load(); opened > c.lastByte.Load() && c.running(Session) > 0 {
		return time.Duration(now - max(opened, c.m.set.floor.Load()))
	}
	return 0
}

// doubtful reports that calls, or a probe, wait longer than c's member usually needs:
// nothing new goes there while there is another. Called by the picker, without a lock.
func (c *conn) doubtful(now int64) bool {
	calls, asked, pondered := c.calls.n.Load(), c.asked.Load(), c.pondered.Load()
	if calls == 0 && asked == 0 && pondered == 0 {
		return false
	}
	floor, limit := c.m.set.floor.Load(), c.m.silenceLimit()
	waits := func(since int64) bool { return since != 0 && now-max(since, floor) >= int64(limit) }
	return waits(pondered) || waits(asked) && c.lastByte.Load() < asked ||
		min(c.calls.silence(now, floor), c.quiet(now)) >= limit || c.quorum.silence(now, floor) >= limit
}

// cost orders connections for picking: expected latency, times the calls that already
// wait there.
func (c *conn) cost() int64 {
	return max(c.m.latency.Load(), int64(latencyFloor)) * int64(c.calls.n.Load()+1)
}

// Endpoint implements transport.Peer.
func (c *conn) Endpoint() endpoint.Endpoint { return c.m.ep }

// BytesArrived implements transport.Peer.
func (c *conn) BytesArrived() { c.lastByte.Store(c.m.set.now()) }

// ConnOpened implements transport.Peer.
func (c *conn) ConnOpened(n net.Conn) {
	c.m.set.mu.Lock()
	defer c.m.set.mu.Unlock()
	c.net = n
	c.tracked.Store(true)
}

// ConnFailed implements transport.Peer.
func (c *conn) ConnFailed(err error, wrong bool) {
	c.m.set.mu.Lock()
	defer c.m.set.mu.Unlock()
	c.failed, c.wrong = err, wrong
	if c.m.err == nil || c == c.m.conn {
		c.m.err = err
	}
	c.tried = c.tried || wrong
}

// mostAddresses is how many addresses of a name are tried, or are members.
const mostAddresses = 8

// Addresses implements transport.Peer. The address of the connection in use comes first,
// then those that were never silent, then the others, the last to be silent last.
func (c *conn) Addresses(found []netip.Addr) []netip.Addr {
	m, s := c.m, c.m.set
	s.mu.Lock()
	if len(found) > 0 {
		m.addresses = found[:min(len(found), mostAddresses)]
	}
	list := slices.Clone(m.addresses)
	first := netip.Addr{}
	if m.ready() {
		first = m.conn.remote()
	}
	rank := func(a netip.Addr) int {
		if a == first {
			return -2
		}
		return slices.Index(m.silent, a)
	}
	sort.SliceStable(list, func(i, j int) bool { return rank(list[i]) < rank(list[j]) }) // slices' would add 7 KB
	s.mu.Unlock()
	if s.cfg.Found != nil {
		s.cfg.Found(m.ep, found)
	}
	return list
}

// remote is which of its name's addresses c goes to, if there is a choice.
func (c *conn) remote() netip.Addr {
	if c.net == nil || len(c.m.addresses) < 2 {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddrPort(c.net.RemoteAddr().String())
	return a.Addr().Unmap()
}

// shun makes another address than c's the next one to be tried.
func (c *conn) shun() {
	if a := c.remote(); a.IsValid() {
		l := append(slices.DeleteFunc(c.m.silent, func(o netip.Addr) bool { return o == a }), a)
		c.m.silent = l[max(0, len(l)-mostAddresses):]
	}
}

// diagnoseEvery bounds the connections that are made only to explain failures.
const diagnoseEvery = 10 * time.Second

// MayDiagnose implements transport.Peer.
func (c *conn) MayDiagnose() bool {
	s := c.m.set
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if c.m.diagnosed != 0 && now-c.m.diagnosed < int64(diagnoseEvery) {
		return false
	}
	c.m.diagnosed = max(now, 1)
	return true
}

// activity counts calls under way and remembers when there was last an answer.
// Silence is the time since then, or since there is anything to wait for.
type activity struct {
	_ [0]func() // not comparable, see conn

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
//
//go:noinline
func (a *activity) silence(now, floor int64) time.Duration {
	if a.n.Load() <= 0 {
		return 0
	}
	return time.Duration(now - max(a.since.Load(), a.last.Load(), floor))
}
