package balancer

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// Pick is one piece of work, an attempt or a stream. It travels in the work's context (see
// Context), and the work and the picker exchange what they need through it. The fields above the
// line are the work's wishes; the picker writes those below, in the work's own goroutine.
type Pick struct {
	Class     Class
	Cancel    func(error) // ends the work, because its connection is of no use; nil: that closes the connection only
	Avoid     uint64      // slots of members that were tried; used all the same if there is no other
	Pin       *Member     // only this one
	Prefer    *Member     // this one if it is usable and not avoided
	Resumes   bool        // a stream of much data that goes on where it was: it need not stay
	Stream    bool        // not counted among the calls that wait for an answer
	Lane      bool        // on the connection for much data
	Consensus bool        // needs the cluster's agreement
	Urgent    bool        // much waits for it: on a member that was not silent (livelyFor), if there is one
	Proposes  bool        // asks the cluster to agree on a change
	Short     bool        // its duration is a fair sample of latency
	TellSent  bool        // keep Sent; costs an allocation
	Bounded   bool        // waits until its deadline even where only an operator can mend the cause

	Got   *Member // the member picked last
	Err   error   // why none was picked, if none was
	Wrong bool    // because no endpoint can work as configured
	Sent  bool    // the request may have left this process
	Token any     // what authenticated the call, for the one who refreshes it
	Void  bool    // it was not sent since its token was refused meanwhile
	began int64   // Set.now of the pick
	held  int64   // Set.now when it was first held back; 0: it was not

	mu      sync.Mutex                 // gRPC may pick anew for a stream while its owner ends it
	conn    *conn                      // guarded by mu; where it runs, or ran last
	running bool                       // guarded by mu; conn knows of it
	over    bool                       // guarded by mu; nothing picks for it any more
	asks    bool                       // guarded by mu; a stream that has sent something, and got nothing yet
	stays   atomic.Bool                // it ends rather than being picked for once more
	slot    atomic.Uint64              // Got's slot, for other goroutines
	link    struct{ next, prev *Pick } // guarded by conn.work
	ended   bool                       // guarded by conn.work; Cancel is being called
}

// Slot is that of the member picked last, 0 before the first pick. Unlike the
// fields it may be read while the attempt runs.
func (p *Pick) Slot() uint64 { return p.slot.Load() }

// Age is how long ago the member was picked.
func (p *Pick) Age() time.Duration { return time.Duration(p.Got.set.now() - p.began) }

// Connected is when the work's connection was made, zero if it has none.
func (p *Pick) Connected() time.Time {
	p.mu.Lock()
	c := p.conn
	p.mu.Unlock()
	if c == nil {
		return time.Time{}
	}
	s := c.m.set
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(time.Duration(c.readyAt - s.now()))
}

// Stay keeps the work where it is. gRPC moves a stream to another connection without a word if no
// server has processed anything of it. What its owner found out since it was opened may not hold
// there.
func (p *Pick) Stay() { p.stays.Store(true) }

// took makes c the work's connection, unless it takes nothing more.
func (p *Pick) took(c *conn, now int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave(Unanswered)
	p.Got, p.Err, p.Wrong, p.Sent = nil, nil, false, false
	if p.over || !c.add(p) {
		return false
	}
	p.Got, p.conn, p.running, p.began = c.m, c, true, now
	p.slot.Store(c.m.slot)
	if p.Class == Session {
		c.opened.Store(now)
	}
	first := p.Stream
	if p.asks {
		c.begins.begin(now)
	}
	if !p.Stream {
		first = c.calls.begin(now)
		if p.Consensus {
			c.quorum.begin(now)
		}
	}
	if s := c.m.set; first && s.asleep.Load() {
		s.poke()
	}
	return true
}

// Outcome says how an attempt ended, as far as its member is concerned.
type Outcome uint8

const (
	Unanswered Outcome = iota
	Answered           // with an error that says that the member cannot finish calls now
	Done               // with a result, or an error that is as good as one
)

// Finish ends the work. Call it when the attempt or stream has ended; further calls do no harm.
func (p *Pick) Finish(o Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.leave(o)
}

// leave takes the work off its connection. Callers hold mu.
func (p *Pick) leave(o Outcome) {
	if !p.running {
		return
	}
	p.running = false
	c := p.conn
	now := c.m.set.now()
	if p.asks {
		c.begins.end(now, false)
	}
	if !p.Stream {
		c.calls.end(now, o != Unanswered)
		if p.Consensus {
			c.quorum.end(now, o == Done)
		}
		if o != Unanswered && !c.tracked.Load() {
			c.lastByte.Store(now)
		}
		c.m.answered(now-p.began, now, p, o)
		if s := c.m.set; o == Done && p.Consensus && s.holding.Load() {
			s.poke() // changes go on at once
		}
	}
	c.remove(p)
}

// none is for when there is no member: why says the reason, or one is being connected. The error
// that it returns ends the work if the work does not wait, or if waiting is pointless: no endpoint
// can work as configured, and there is no deadline before which an operator may correct that.
func (p *Pick) none(why error, wrong bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave(Unanswered)
	p.Got, p.Err, p.Wrong = nil, why, wrong
	switch {
	case why == nil:
		return balancer.ErrNoSubConnAvailable
	case wrong && !p.Bounded:
		return unavailable(why)
	}
	return why
}

// Received notes that a message of the stream arrived.
func (p *Pick) Received() {
	p.mu.Lock()
	c := p.conn
	if p.asks {
		p.asks = false
		if p.running {
			c.begins.end(c.m.set.now(), true)
		}
	}
	p.mu.Unlock()
	if c != nil && !c.tracked.Load() {
		c.BytesArrived()
	}
}

// Asks notes that the stream sends its first message. Until something comes back it waits as a call
// does.
func (p *Pick) Asks() {
	p.mu.Lock()
	p.asks = true
	c := p.conn
	if p.running {
		c.begins.begin(c.m.set.now())
	}
	p.mu.Unlock()
	if c != nil && c.m.set.asleep.Load() {
		c.m.set.poke()
	}
}

type pickKey struct{}

// Context is a context that carries a Pick. Embedding it makes an attempt one
// allocation.
type Context struct {
	context.Context
	Pick Pick
}

// Value implements context.Context.
func (c *Context) Value(key any) any {
	if _, ok := key.(pickKey); ok {
		return &c.Pick
	}
	return c.Context.Value(key)
}

// PickOf finds the Pick in an attempt's context; nil outside of attempts.
func PickOf(ctx context.Context) *Pick {
	p, _ := ctx.Value(pickKey{}).(*Pick)
	return p
}

// view is what the members looked like when the picker was made.
type view struct {
	usable []*conn            // of the best members
	subs   []balancer.SubConn // of usable, same order
	err    error              // why there is none; nil while one is hoped for
	wrong  bool               // no endpoint can work as configured, nor ever did
	hold   bool               // none of usable finishes anything
}

// makeView gathers the healthy members. The stalled ones are there only for when no
// member is healthy beyond doubt: a dead one must not hold the calls meanwhile.
// Callers hold mu.
func (s *Set) makeView() (v view, state connectivity.State) {
	s.wide = !s.sound(nil)
	for _, m := range s.members {
		if m.ready() && (m.state == Healthy || s.wide) && m.conn.sub != nil {
			v.usable = append(v.usable, m.conn)
			v.subs = append(v.subs, m.conn.sub)
		}
	}
	s.usable = v.usable
	if v.hold = s.wide; len(v.usable) > 0 {
		return v, connectivity.Ready
	}
	v.wrong = len(s.members) > 0
	now := s.now()
	for _, m := range s.members {
		v.wrong = v.wrong && m.hopeless()
		if m.coming(now) {
			state = connectivity.Connecting
		}
	}
	if state == connectivity.Connecting {
		return v, state
	}
	v.err = errors.New("no member is available: " + s.explain())
	return v, connectivity.TransientFailure
}

// picker implements balancer.Picker on one view.
type picker struct {
	set *Set
	v   view
}

// unavailable ends a call even if it would wait.
func unavailable(err error) error {
	return (&etcderr.Error{Status: codes.Unavailable, Cause: err, Unexecuted: true}).GRPCStatus().Err()
}

// Pick chooses a member: the cheaper of two drawn at random (Mitzenmacher, "The
// Power of Two Choices in Randomized Load Balancing", 1996), where cost is
// expected latency times waiting calls.
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	want := PickOf(info.Ctx)
	raw := want == nil
	if raw {
		want = &Pick{Stream: true} // a call that did not come through an attempt
		_, want.Bounded = info.Ctx.Deadline()
	}
	if want.stays.Load() {
		return balancer.PickResult{}, unavailable(errNotTaken)
	}
	if want.Pin != nil {
		return pickPinned(want)
	}
	if len(p.v.usable) == 0 {
		return balancer.PickResult{}, want.none(p.v.err, p.v.wrong)
	}
	now := p.set.now()
	if want.Proposes {
		most := time.Duration(0)
		switch {
		case p.set.prove(p.v.usable, nil):
			most = proveMost
		case p.v.hold || p.set.pausing(p.v.usable, now):
			most = holdMost
		}
		if most > 0 && p.set.holds(want, most, now) {
			return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
		}
	}
	i := p.choose(want, now)
	c, sub := p.v.usable[i], p.v.subs[i]
	if want.Lane {
		p.set.mu.Lock()
		c = c.m.laneFor(want)
		if c != nil {
			sub = c.sub
		}
		p.set.mu.Unlock()
	}
	r, err := want.result(c, sub, now)
	if raw && err == nil {
		r.Done = func(balancer.DoneInfo) { want.Finish(Unanswered) }
	}
	return r, err
}

const (
	// holdMost is how long a change is held back at most: an election takes no longer, and without
	// one the caller may need the server's own error.
	holdMost = 3 * time.Second
	// proveMost is the same where the token is in question. Over a link with a round trip of a
	// second it takes six of them to know that it is void.
	proveMost = 10 * time.Second
)

// holds reports that want, a change, has to wait because no member finishes anything, or none has
// shown that it accepts the token: in an election the servers lose proposals without reporting it,
// and with a token from a lost history they say nothing. The monitor sends reads to find out when
// that is over, and publishes a picker when one is answered.
func (s *Set) holds(want *Pick, most time.Duration, now int64) bool {
	if want.held == 0 {
		want.held = now
	}
	if now-want.held >= int64(most) {
		return false
	}
	_ = want.none(nil, false)
	if !s.holding.Swap(true) {
		s.poke()
	}
	return true
}

// prove reports that on no connection of the list anything that needs consensus has been answered
// yet, if calls carry a token. That may be from a history that a restore from a backup has ended,
// and changes sent with it would wait for as long as their callers do; reads begin anew. It adds
// the members without an answer to slots, and has the monitor ask them.
func (s *Set) prove(list []*conn, slots *uint64) (none bool) {
	none = true
	var unproven uint64
	for _, c := range list {
		if c.quorum.last.Load() != 0 {
			none = false
			continue
		}
		if unproven == 0 && s.cfg.Token() == nil {
			return false
		}
		unproven |= c.m.slot
		if slots != nil && !c.wanted.Swap(true) {
			s.poke()
		}
	}
	if slots != nil {
		*slots |= unproven
	}
	return none
}

// pausing reports that calls or probes wait for consensus on members that are not in doubt by
// themselves, and none has finished one for longer than usual. It is far more impatient than
// doubtful, since only changes wait, and only until a read has shown that all is well.
func (s *Set) pausing(list []*conn, now int64) bool {
	doubtful, since, last := true, int64(math.MaxInt64), s.floor.Load()
	for _, c := range list {
		last = max(last, c.quorum.last.Load())
		if c.doubtful(now) {
			continue
		}
		doubtful = false
		if c.quorum.n.Load() > 0 {
			since = min(since, c.quorum.since.Load())
		}
		for _, at := range [...]int64{c.pondered.Load(), c.asked.Load()} {
			if at != 0 {
				since = min(since, at)
			}
		}
	}
	return doubtful || since != math.MaxInt64 && now-max(since, last) >= int64(s.holdAfter())
}

// result is that of a pick of c. Without one, or if it takes nothing more, there will be
// another picker in a moment.
func (p *Pick) result(c *conn, sub balancer.SubConn, now int64) (balancer.PickResult, error) {
	if c == nil || !p.took(c, now) {
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
	}
	r := balancer.PickResult{SubConn: sub}
	if p.TellSent {
		r.Done = func(d balancer.DoneInfo) { p.Sent = d.BytesSent }
	}
	return r, nil
}

// choose draws from the members that were not tried and are not in doubt. One in doubt is better
// than one that was tried, the less so the longer it has been silent, and any is better than none.
func (p *picker) choose(want *Pick, now int64) int {
	list := p.v.usable
	if len(list) == 1 {
		return 0
	}
	doubtful := uint64(0)
	for _, c := range list {
		if c.doubtful(now) {
			doubtful |= c.m.slot
		}
	}
	if want.Proposes {
		p.set.prove(list, &doubtful)
	}
	patience := time.Duration(math.MaxInt64)
	if want.Urgent {
		patience = livelyFor
		doubtful |= silent(list, now, patience)
	}
	var room [8]int
	fit := without(room[:0], list, want.Avoid|doubtful)
	if len(fit) == 0 {
		mute := silent(list, now, patience)
		for _, skip := range [...]uint64{want.Avoid | mute, want.Avoid, mute, 0} {
			if fit = without(fit, list, skip); len(fit) > 0 {
				break
			}
		}
	} else if want.Prefer != nil {
		for _, i := range fit {
			if list[i].m == want.Prefer {
				return i
			}
		}
	}
	if len(fit) == 1 {
		return fit[0]
	}
	a := rand.IntN(len(fit))
	b := (a + 1 + rand.IntN(len(fit)-1)) % len(fit)
	if list[fit[b]].cost() < list[fit[a]].cost() {
		return fit[b]
	}
	return fit[a]
}

// livelyFor is how long a member may have been silent to get urgent work where another one was not.
const livelyFor = 500 * time.Millisecond

// silent returns the slots of members that have been silent for far longer than another one, and
// longer than their own limits or the given one: they are in doubt by themselves, and not because
// this machine or the cluster stood still.
func silent(list []*conn, now int64, limit time.Duration) (slots uint64) {
	least := list[0].quiet(now)
	for _, c := range list[1:] {
		least = min(least, c.quiet(now))
	}
	for _, c := range list {
		if q := c.quiet(now); q > 2*least && q >= min(limit, c.m.silenceLimit()) {
			slots |= c.m.slot
		}
	}
	return slots
}

// without appends to dst the places in list of connections that have none of the slots.
func without(dst []int, list []*conn, slots uint64) []int {
	for i, c := range list {
		if c.m.slot&slots == 0 {
			dst = append(dst, i)
		}
	}
	return dst
}

// laneFor is m's connection for much data; nil while it is being made. If it cannot be
// had the connection in use serves. Callers hold mu.
func (m *Member) laneFor(want *Pick) *conn {
	if !m.ready() {
		return nil
	}
	m.laneAsked = true
	m.set.poke()
	switch c := m.bulk; {
	case c != nil && c.stage == ready:
		return c
	case c == nil && m.set.now() < m.laneAt:
		return m.conn
	}
	if want.Prefer == nil {
		want.Prefer = m // not a lane to another one each time
	}
	return nil
}

func pickPinned(want *Pick) (balancer.PickResult, error) {
	m := want.Pin
	s := m.set
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if m.ready() && m.conn.sub != nil {
		c := m.conn
		if want.Lane {
			c = m.laneFor(want)
		}
		if c == nil {
			return want.result(nil, nil, now)
		}
		return want.result(c, c.sub, now)
	}
	if m.leftAt == 0 && m.coming(now) {
		return balancer.PickResult{}, want.none(nil, false)
	}
	err := want.none(errors.New(m.Name()+": "+m.why()), m.hopeless())
	if m.leftAt != 0 {
		err = unavailable(want.Err)
	}
	return balancer.PickResult{}, err
}
