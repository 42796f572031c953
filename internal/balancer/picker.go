package balancer

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"

	"github.com/fairlead-go/fairlead/internal/etcderr"
)

// Pick is how an attempt and the picker talk: it travels in the attempt's
// context, see Context. The fields above the line are the attempt's wishes, those
// below are written by the picker, in the attempt's own goroutine.
type Pick struct {
	Avoid     uint64  // slots of members that were tried; used all the same if there is no other
	Pin       *Member // only this one
	Prefer    *Member // this one if it is usable and not avoided
	Stream    bool    // not counted among the calls that wait for an answer
	Consensus bool    // needs the cluster's agreement
	Short     bool    // its duration is a fair sample of latency
	TellSent  bool    // keep Sent; costs an allocation

	Got   *Member // the member picked last
	Err   error   // why none was picked, if none was
	Sent  bool    // the request may have left this process
	Token any     // what authenticated the call, for the one who refreshes it
	began int64   // Set.now of the pick
	// counted: Got counts this attempt as waiting
	counted bool
	slot    atomic.Uint64 // Got's slot, for other goroutines
}

// Slot is that of the member picked last, 0 before the first pick. Unlike the
// fields it may be read while the attempt runs.
func (p *Pick) Slot() uint64 { return p.slot.Load() }

// took makes m the attempt's member and counts the attempt there.
func (p *Pick) took(m *Member) {
	p.Finish(Unanswered)
	p.Got, p.Err, p.Sent = m, nil, false
	p.slot.Store(m.slot)
	p.began = m.set.now()
	if !p.Stream {
		m.begin(p.began, p.Consensus)
		p.counted = true
	}
}

// Outcome says how an attempt ended, as far as its member is concerned.
type Outcome uint8

const (
	Unanswered Outcome = iota
	Answered           // with an error that says that the member cannot finish calls now
	Done               // with a result, or an error that is as good as one
)

// Finish ends the counting. To be called when the attempt has ended; more often
// does no harm.
func (p *Pick) Finish(o Outcome) {
	if p.counted {
		p.counted = false
		p.Got.end(p.began, p.Consensus, o, p.Short)
	}
}

// Slot is the member's bit in Pick.Avoid.
func (m *Member) Slot() uint64 { return m.slot }

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
func PickOf(ctx context.Context) *Pick { return pickOf(ctx) }

func pickOf(ctx context.Context) *Pick {
	p, _ := ctx.Value(pickKey{}).(*Pick)
	return p
}

// view is what the members looked like when the picker was made.
type view struct {
	usable []*Member          // the best level that has any
	subs   []balancer.SubConn // of usable, same order
	err    error              // why there is none; nil while one is hoped for
	wrong  bool               // no endpoint can ever work as configured
}

// makeView sorts the members into levels. Callers hold mu.
func (s *Set) makeView() (v view, state connectivity.State) {
	level := Ejected + 1
	rank := func(m *Member) State {
		if !m.ready || m.sc == nil || m.state == Ejected || m.state == Connecting {
			return Ejected + 1
		}
		return m.state
	}
	for _, m := range s.members {
		level = min(level, rank(m))
	}
	if level <= Ejected {
		for _, m := range s.members {
			if rank(m) == level {
				v.usable = append(v.usable, m)
				v.subs = append(v.subs, m.sc)
			}
		}
		return v, connectivity.Ready
	}
	v.wrong = len(s.members) > 0
	waiting := false
	now := s.now()
	for _, m := range s.members {
		v.wrong = v.wrong && m.wrong
		if !m.tried && now-m.firstTry < int64(s.cfg.FirstConnect) {
			waiting = true
		}
	}
	if waiting {
		return v, connectivity.Connecting
	}
	v.err = errors.New("no member is available: " + s.explain())
	return v, connectivity.TransientFailure
}

// picker implements balancer.Picker on one view.
type picker struct {
	v view
}

// Pick chooses a member: the cheaper of two drawn at random (Mitzenmacher, "The
// Power of Two Choices in Randomized Load Balancing", 1996), where cost is
// expected latency times waiting calls.
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	want := pickOf(info.Ctx)
	if want == nil {
		want = &Pick{Stream: true} // a call that did not come through an attempt
	}
	if want.Pin != nil {
		return pickPinned(want)
	}
	n := len(p.v.usable)
	if n == 0 {
		want.Finish(Unanswered)
		want.Got, want.Err = nil, p.v.err
		switch {
		case p.v.err == nil:
			return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
		case p.v.wrong:
			// A status ends the call even if it would wait: waiting is pointless.
			return balancer.PickResult{}, (&etcderr.Error{Status: unavailable, Cause: p.v.err, Unexecuted: true}).GRPCStatus().Err()
		}
		return balancer.PickResult{}, p.v.err
	}
	i := p.choose(want)
	return want.result(p.v.usable[i], p.v.subs[i]), nil
}

func (p *Pick) result(m *Member, sc balancer.SubConn) balancer.PickResult {
	p.took(m)
	r := balancer.PickResult{SubConn: sc}
	if p.TellSent {
		r.Done = func(d balancer.DoneInfo) { p.Sent = d.BytesSent }
	}
	return r
}

func (p *picker) choose(want *Pick) int {
	list := p.v.usable
	fit, only := 0, 0
	for i, m := range list {
		if m.slot&want.Avoid == 0 {
			if m == want.Prefer {
				return i
			}
			fit++
			only = i
		}
	}
	avoid := want.Avoid
	switch fit {
	case 0:
		avoid, fit = 0, len(list) // all were tried: any
		if fit == 1 {
			return 0
		}
	case 1:
		return only
	}
	a := rand.IntN(fit)
	b := rand.IntN(fit - 1)
	if b >= a {
		b++
	}
	ia, ib := nth(list, avoid, a), nth(list, avoid, b)
	if list[ib].cost() < list[ia].cost() {
		return ib
	}
	return ia
}

// nth is the index of the k-th member that is not avoided.
func nth(list []*Member, avoid uint64, k int) int {
	for i, m := range list {
		if m.slot&avoid != 0 {
			continue
		}
		if k == 0 {
			return i
		}
		k--
	}
	return 0
}

func pickPinned(want *Pick) (balancer.PickResult, error) {
	m := want.Pin
	s := m.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.ready && m.sc != nil && !m.removed {
		return want.result(m, m.sc), nil
	}
	want.Finish(Unanswered)
	want.Got = nil
	if !m.tried && !m.removed && s.now()-m.firstTry < int64(s.cfg.FirstConnect) {
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
	}
	want.Err = errors.New(m.Name() + ": " + m.why())
	if m.removed || m.wrong {
		// A status ends the call even if it would wait: waiting is pointless.
		return balancer.PickResult{}, (&etcderr.Error{Status: unavailable, Cause: want.Err, Unexecuted: true}).GRPCStatus().Err()
	}
	return balancer.PickResult{}, want.Err
}
