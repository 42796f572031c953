package lease

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// proxied is etcd's gRPC proxy before an etcd that stands still now and then. The proxy renews a
// lease by itself, and answers all renewals of it then. It looks every half second for leases whose
// last answer is a third of the TTL old.
type proxied struct {
	t       *testing.T
	seed    uint64
	core    *core
	now     time.Duration
	ttl     int64
	looksAt time.Duration
	until   time.Duration // etcd stands still before this
	next    map[int64]time.Duration
	asked   map[int64]bool // its renewal is under way
	reqs    []proxiedReq   // not answered
	sends   int
	lost    int
}

type proxiedReq struct {
	st *stream
	id int64
}

func (p *proxied) run() {
	for i := 0; i < len(p.core.acts); i++ {
		switch a := p.core.acts[i]; a.kind {
		case actOpen:
			p.core.opened(p.now, a.st, "proxy")
		case actSend:
			p.sends++
			p.reqs = append(p.reqs, proxiedReq{a.st, a.id})
			if _, known := p.next[a.id]; !known {
				p.next[a.id], p.asked[a.id] = never, true
			}
		case actEnded:
			p.lost++
		}
	}
	p.core.acts = p.core.acts[:0]
}

func (p *proxied) pass(d time.Duration) {
	for end := p.now + d; p.now < end; p.now += 5 * time.Millisecond {
		if p.core.armed <= p.now {
			p.core.tick(p.now)
			p.run()
		}
		if p.now >= p.looksAt {
			p.looksAt += 500 * time.Millisecond
			for id, at := range p.next {
				p.asked[id] = p.asked[id] || at <= p.now
			}
		}
		for id, asked := range p.asked {
			if !asked || p.now < p.until {
				continue
			}
			p.asked[id], p.next[id] = false, p.now+seconds(p.ttl)/3
			for _, r := range slices.Clone(p.reqs) {
				if r.id == id {
					p.core.answer(p.now, r.st, &pb.LeaseKeepAliveResponse{ID: id, TTL: p.ttl})
				}
			}
			p.reqs = slices.DeleteFunc(p.reqs, func(r proxiedReq) bool { return r.id == id })
			p.run()
		}
	}
}

// TestProxyCostsNoLease: the proxy answers when it likes. No lease is lost by that, whether it is
// alone or others are answered meanwhile, and not when etcd stands still for half a second.
func TestProxyCostsNoLease(t *testing.T) {
	for _, ttl := range []int64{2, 3, 5, 9} {
		for seed := range uint64(100) {
			draw := rand.New(rand.NewPCG(seed, uint64(ttl)))
			p := &proxied{
				t: t, seed: seed, ttl: ttl, next: map[int64]time.Duration{}, asked: map[int64]bool{},
				core: newCore(DefaultFirstAnswer, draw.Float64),
			}
			n := 1 + draw.IntN(10)
			for id := range n {
				p.core.granted(p.now, int64(id+1), seconds(ttl), p.now, 0)
				p.core.keepAlive(p.now, int64(id+1), &keep{})
				p.run()
				p.pass(time.Duration(draw.Int64N(int64(400 * time.Millisecond))))
			}
			begin, sends := p.now, p.sends
			for range 10 {
				p.pass(2*time.Second + time.Duration(draw.Int64N(int64(2*time.Second))))
				p.until = p.now + 500*time.Millisecond
			}
			p.pass(5 * time.Second)
			if p.lost > 0 {
				t.Errorf("TTL %d, seed %d: %d of %d leases lost", ttl, seed, p.lost, n)
			}
			per := float64(p.sends-sends) / float64(n) / (p.now - begin).Seconds() * float64(ttl)
			if seed < 3 {
				t.Logf("TTL %d, seed %d: %d leases, %.1f renewals for each TTL", ttl, seed, n, per)
			}
		}
	}
}
