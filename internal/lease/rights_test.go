package lease

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// rights is a server far away where a user may not renew some leases. It ends a stream at such a
// renewal, and does not look at those behind.
type rights struct {
	core    *core
	now     time.Duration
	way     time.Duration // of a round trip
	denied  func(id int64) bool
	ttl     func(id int64) int64
	opens   time.Duration // how long it takes to open a stream
	streams []*rightsStream
	most    int // streams at a time
	opened  int
	sends   int
	lost    map[int64]bool
}

type rightsStream struct {
	st   *stream
	open time.Duration // when it is open
	reqs []rightsReq
}

type rightsReq struct {
	id     int64
	sent   time.Duration
	denied bool
	judged bool
}

func (r *rights) run() {
	for i := 0; i < len(r.core.acts); i++ {
		switch a := r.core.acts[i]; a.kind {
		case actOpen:
			r.streams = append(r.streams, &rightsStream{st: a.st, open: r.now + r.opens})
			r.opened++
			r.most = max(r.most, len(r.streams))
			if r.opens == 0 {
				r.core.opened(r.now, a.st, "m")
			}
		case actSend:
			j := slices.IndexFunc(r.streams, func(s *rightsStream) bool { return s.st == a.st })
			r.streams[j].reqs = append(r.streams[j].reqs, rightsReq{id: a.id, sent: r.now})
			r.sends++
		case actShut:
			r.streams = slices.DeleteFunc(r.streams, func(s *rightsStream) bool { return s.st == a.st })
		case actEnded:
			r.lost[a.k.l.id] = true
		}
	}
	r.core.acts = r.core.acts[:0]
}

func (r *rights) pass(d time.Duration) {
	for end := r.now + d; r.now < end; r.now += 5 * time.Millisecond {
		if r.core.armed <= r.now {
			r.core.tick(r.now)
			r.run()
		}
		for _, s := range slices.Clone(r.streams) {
			if !s.st.live && s.open <= r.now {
				r.core.opened(r.now, s.st, "m")
				r.run()
			}
			for i := range s.reqs { // the server looks at them half a round trip after they were sent
				if q := &s.reqs[i]; !q.judged && q.sent+r.way/2 <= r.now {
					q.judged, q.denied = true, r.denied(q.id)
				}
			}
			for len(s.reqs) > 0 && s.reqs[0].sent+r.way <= r.now && !s.st.gone {
				q := s.reqs[0]
				s.reqs = s.reqs[1:]
				if q.denied {
					r.core.failed(r.now, s.st, errors.New("denied"), Denied)
				} else {
					r.core.answer(r.now, s.st, &pb.LeaseKeepAliveResponse{ID: q.id, TTL: r.ttl(q.id)})
				}
				r.run()
			}
		}
	}
}

// rightsOf has n leases kept, of which the user may not renew some: from the start, or once all
// were renewed. It returns the lost ones that the user may renew.
func rightsOf(seed uint64, n, forbidden int, later bool) (r *rights, lost int) {
	draw := rand.New(rand.NewPCG(seed, 0))
	bad := map[int64]bool{}
	for _, i := range draw.Perm(n)[:forbidden] {
		bad[int64(i+1)] = true
	}
	denies := !later
	r = &rights{
		core: newCore(DefaultFirstAnswer, draw.Float64), way: 200 * time.Millisecond, lost: map[int64]bool{},
		denied: func(id int64) bool { return denies && bad[id] },
		ttl:    func(id int64) int64 { return []int64{2, 3, 10}[id%3] },
	}
	for id := int64(1); id <= int64(n); id++ {
		r.core.granted(r.now, id, seconds(r.ttl(id)), r.now-r.way, 0)
		r.core.keepAlive(r.now, id, &keep{})
		r.run()
		if id%7 == 0 {
			r.pass(5 * time.Millisecond)
		}
	}
	r.pass(5*time.Second + time.Duration(draw.Int64N(int64(time.Second))))
	denies = true
	r.pass(15 * time.Second)
	for id := range r.lost {
		if !bad[id] {
			lost++
		}
	}
	return r, lost
}

// TestForbiddenLeasesDoNotDelayOthers: the leases that the user may renew are not behind unknown
// ones that it may not, however short their TTL is. A few of 2,500 may be unlucky, and be behind
// one in each of the five round trips that there are.
func TestForbiddenLeasesDoNotDelayOthers(t *testing.T) {
	for seed := range uint64(10) {
		for _, later := range []bool{false, true} {
			r, lost := rightsOf(seed, 3000, 500, later)
			if lost > 2 {
				t.Errorf("seed %d, rights taken away later: %v: %d leases lost", seed, later, lost)
			}
			if most := maxStreams + maxSearch; r.most > most || r.opened > 600 {
				t.Errorf("seed %d: up to %d streams, %d opened", seed, r.most, r.opened)
			}
		}
	}
}

// evenly has n leases kept, one after the other, of which the user may not renew each share-th from
// some time on. It returns how many of the others are lost.
func evenly(r *rights, seed uint64, n, share int, each, later time.Duration) (lost int) {
	denies := false
	r.core, r.lost = newCore(DefaultFirstAnswer, rand.New(rand.NewPCG(seed, 0)).Float64), map[int64]bool{}
	bad := func(id int64) bool { return int(id)%share == 0 }
	r.denied = func(id int64) bool { return denies && bad(id) }
	for id := int64(1); id <= int64(n); id++ {
		r.core.keepAlive(r.now, id, &keep{})
		r.run()
		for r.now < time.Duration(id)*each {
			r.pass(5 * time.Millisecond)
		}
	}
	r.pass(r.way + later)
	denies = true
	r.pass(3 * seconds(r.ttl(0)))
	for id := range r.lost {
		if !bad(id) {
			lost++
		}
	}
	return lost
}

// TestForbiddenLeasesWithDenseAnswers: the leases are renewed one by one all the time, so a stream
// is never silent for long, though each answer takes 400 ms. That is too long to find 300 of 1,200
// on a few streams.
func TestForbiddenLeasesWithDenseAnswers(t *testing.T) {
	for seed := range uint64(3) {
		for each := 3 * time.Millisecond; each < 9*time.Millisecond; each += 2 * time.Millisecond {
			r := &rights{way: 400 * time.Millisecond, ttl: func(int64) int64 { return 5 }}
			later := time.Duration(seed) * 200 * time.Millisecond
			if lost := evenly(r, seed, 1200, 4, each, later); lost > 0 {
				t.Errorf("a lease each %v, rights taken away %v later: %d leases lost", each, later, lost)
			}
		}
	}
}

// TestForbiddenLeasesWithSlowOpening: on a busy machine it takes 10 ms to open a stream. That of 64
// of them, each round trip, must not take longer than the round trip.
func TestForbiddenLeasesWithSlowOpening(t *testing.T) {
	for seed := range uint64(4) {
		r := &rights{
			way: 200 * time.Millisecond, opens: 10 * time.Millisecond, ttl: func(int64) int64 { return 3 },
		}
		later := time.Duration(seed) * 700 * time.Millisecond
		if lost := evenly(r, seed, 1200, 2, 500*time.Microsecond, later); lost > 0 {
			t.Errorf("rights taken away %v later: %d leases lost", later, lost)
		}
		if most := maxStreams + maxSearch; r.most > most {
			t.Errorf("rights taken away %v later: up to %d streams", later, r.most)
		}
	}
}

// TestOneRightComesBack: of many denied leases one may be renewed again four seconds later. It is
// tried in time however long the others have been denied, and those that are denied for good cost
// few streams.
func TestOneRightComesBack(t *testing.T) {
	for _, k := range []struct {
		way    time.Duration
		others int64
		ttl    int64
	}{
		{10 * time.Millisecond, 1, 60},
		{10 * time.Millisecond, 30, 30},
		{10 * time.Millisecond, 30, 60},
		{10 * time.Millisecond, 100, 600},
		{400 * time.Millisecond, 4, 30},
		{400 * time.Millisecond, 30, 60},
		{400 * time.Millisecond, 100, 600},
		{time.Second, 3, 60},
		{time.Second, 5, 60},
		{time.Second, 30, 600},
	} {
		for seed := range uint64(10) {
			lost, opened := oneComesBack(seed, k.way, k.others, k.ttl)
			if lost || opened > 20*20+20 {
				t.Errorf("%+v, seed %d: lost %t, %d streams in 20 s", k, seed, lost, opened)
			}
		}
	}
}

// oneComesBack has leases of that TTL that the user may not renew for long, and one of 12 s of
// which that is true for four seconds. It returns whether it is lost, and the streams opened.
func oneComesBack(seed uint64, way time.Duration, others, ttl int64) (lost bool, opened int) {
	const mine = 1000
	draw := rand.New(rand.NewPCG(seed, 0))
	away := time.Duration(never)
	r := &rights{way: way, opens: way / 2, lost: map[int64]bool{}, core: newCore(DefaultFirstAnswer, draw.Float64)}
	r.ttl = func(id int64) int64 {
		if id == mine {
			return 12
		}
		return ttl
	}
	r.denied = func(id int64) bool {
		return id <= others && r.now > 3*time.Second || id == mine && r.now >= away && r.now < away+4*time.Second
	}
	for id := range others {
		r.core.keepAlive(r.now, id+1, &keep{})
	}
	r.core.keepAlive(r.now, mine, &keep{})
	r.run()
	r.pass(seconds(ttl)*2/3 + time.Duration(draw.Int64N(int64(4*time.Second)))) // all others are denied by now
	away, opened = r.now, r.opened
	r.pass(20 * time.Second)
	return r.lost[mine], r.opened - opened
}
