package lease

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// stall is a cluster of three whose leader stands still for a while. A follower that has forwarded
// a renewal to it waits until it moves again, even if another leader was elected long before. All
// later renewals on that stream wait too.
type stall struct {
	t       *testing.T
	seed    uint64
	core    *core
	now     time.Duration
	draw    *rand.Rand
	members []string
	way     time.Duration // of a round trip to a member

	from, elected, until time.Duration
	successor            string // elected then
	streams              []*stallStream
	renewed              int
}

type stallStream struct {
	st     *stream
	opens  time.Duration
	member string
	reqs   []int64
	head   time.Duration // when the first one arrived, or came to be the first
}

const stalled = "m0"

func (s *stall) run() {
	for _, a := range s.core.acts {
		switch a.kind {
		case actOpen:
			s.open(a.st)
		case actSend:
			st := s.stream(a.st)
			if len(st.reqs) == 0 {
				st.head = s.now + s.way/2
			}
			st.reqs = append(st.reqs, a.id)
		case actShut:
			s.streams = slices.DeleteFunc(s.streams, func(x *stallStream) bool { return x.st == a.st })
		case actRenewed:
			s.renewed++
		case actEnded:
			if left := a.k.l.deadline - s.elected; left >= enough+2*s.way {
				s.t.Errorf("seed %d: a lease is lost %v after the election", s.seed, left)
			}
		}
	}
	s.core.acts = s.core.acts[:0]
}

func (s *stall) stream(st *stream) *stallStream {
	i := slices.IndexFunc(s.streams, func(x *stallStream) bool { return x.st == st })
	return s.streams[i]
}

// open picks a member as clientv3 does: the leader unless it is to be avoided, else a random one
// that is not, else one that is not known to be silent.
func (s *stall) open(st *stream) {
	leader := stalled
	if s.now >= s.elected && s.elected > 0 {
		leader = s.successor
	}
	good := slices.DeleteFunc(slices.Clone(s.members), func(m string) bool { return slices.Contains(st.avoid, m) })
	if len(good) == 0 {
		good = slices.Clone(s.members)
		if s.now >= s.from+time.Second && s.now < s.until {
			good = good[1:]
		}
	}
	m := good[s.draw.IntN(len(good))]
	if slices.Contains(good, leader) {
		m = leader
	}
	s.streams = append(s.streams, &stallStream{st: st, opens: s.now, member: m})
}

// answerAt is when the first renewal on a stream is answered.
func (s *stall) answerAt(x *stallStream) time.Duration {
	at := x.head
	switch {
	case at < s.from || at >= s.until:
	case x.member == stalled || at < s.elected:
		at = s.until
	}
	return at + s.way/2
}

func (s *stall) pass(d time.Duration) {
	const step = 5 * time.Millisecond
	for end := s.now + d; s.now < end; s.now += step {
		if s.core.armed <= s.now {
			s.core.tick(s.now)
			s.run()
		}
		for _, x := range slices.Clone(s.streams) {
			if x.opens <= s.now && !x.st.live { // streams open without the server's doing
				s.core.opened(s.now, x.st, x.member)
				s.run()
			}
			for len(x.reqs) > 0 && s.answerAt(x) <= s.now && !x.st.gone {
				id := x.reqs[0]
				x.reqs, x.head = x.reqs[1:], s.now
				s.core.answer(s.now, x.st, &pb.LeaseKeepAliveResponse{ID: id, TTL: 3})
				s.run()
			}
		}
	}
}

// enough is how much of its time, beside two round trips, a lease must have left at the election so
// that it can still be renewed.
const enough = 500 * time.Millisecond

// A leader that stands still costs no lease that has enough time left at the election. This holds
// at every moment between two renewals, and also just after another such fault.
func TestLeaderThatStandsStillCostsNoLease(t *testing.T) {
	for _, way := range []time.Duration{2 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond} {
		for seed := range uint64(500) {
			draw := rand.New(rand.NewPCG(seed, 0))
			s := &stall{
				t: t, seed: seed, core: newCore(DefaultFirstAnswer, draw.Float64), draw: draw,
				members: []string{stalled, "m1", "m2"}, way: way,
			}
			for id := range int64(5) {
				s.core.keepAlive(s.now, id+1, &keep{})
				s.run()
			}
			s.pass(5 * time.Second)
			for range 2 {
				s.from = s.now + time.Duration(draw.Int64N(int64(3*time.Second)))
				s.elected = s.from + time.Second + time.Duration(draw.Int64N(int64(time.Second)))
				s.until, s.successor = s.from+2600*time.Millisecond, s.members[1+draw.IntN(2)]
				s.pass(15 * time.Second)
			}
			if s.renewed < 5*5 {
				t.Errorf("seed %d: %d renewals", seed, s.renewed)
			}
		}
	}
}
