package pick

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
)

// Policy says how one of several instances is chosen: [RoundRobin], [Random], [Weighted], [P2C],
// [LeastOutstanding] or [Hash]. Balancers may share one.
type Policy interface {
	// needs says what to measure for the policy.
	needs() needs
	// build makes the chooser for nodes, of which there is at least one. It is called with
	// Balancer.mu held.
	build(nodes []*node, e *env) chooser
}

// chooser chooses among the nodes that it was made for. It is called concurrently.
type chooser interface {
	// choose takes the time of the pick if the policy needs latency.
	choose(ctx context.Context, now int64) *node
}

// needs are bits; a measurement that the policy does not need costs nothing.
type needs uint8

const (
	needsOutstanding needs = 1 << iota // node.outstanding
	needsLatency                       // node.latency
	needsTotal                         // env.total
)

// env is state that choosers share with earlier and later ones. There is one for each zone in the
// order of preference, and for each subset of a split, with one source and one total.
type env struct {
	rnd   *source
	total *atomic.Int64 // calls under way
	_     [48]byte      // turn is written by all, the rest is not
	// turn counts picks in turn, over all sets: otherwise each new set would favour its first
	// nodes. It begins at random, or all clients would begin with the same instance.
	turn atomic.Uint64
	_    [56]byte
}

// source is a source of randomness. It takes no lock.
type source struct {
	seeded bool
	state  atomic.Uint64
}

// gamma is 2^64 divided by the golden ratio, odd.
const gamma = 0x9e3779b97f4a7c15

// uint64 draws. Seeded, it is SplitMix64 (Steele, Lea, Flood, "Fast Splittable
// Pseudorandom Number Generators", 2014), whose state is a counter, so that goroutines can
// share it without a lock.
func (s *source) uint64() uint64 {
	if !s.seeded {
		return rand.Uint64()
	}
	return mix(s.state.Add(gamma))
}

// mix is SplitMix64's finalizer; it spreads each bit over all.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below scales 32 random bits to 0..n-1, without a division (Lemire, "Fast Random Integer
// Generation in an Interval", 2019). Its bias is n/2^32.
func below(bits uint32, n int) int { return int(uint64(bits) * uint64(n) >> 32) }
