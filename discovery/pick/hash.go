package pick

import (
	"context"
	"math"
	"math/bits"
)

// Hash picks the same instance for the same key, WithKey's; without a key any at random, each as often as its
// weight says.
// When an instance comes or goes, only keys that it gets or had move. All processes
// agree, as far as they have the same instances.
//
// An instance takes at most a quarter more than its share of the calls under way; what is
// above goes to the next on the ring (Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing
// with Bounded Loads", 2018), so that a key that everybody wants does not bring down one.
func Hash() Policy { return hashed{} }

const (
	// ringPoints of an instance of common weight: its part of the ring is right to an
	// eighth, and bounded load does the rest.
	ringPoints = 64
	// loadFactor of 1.25 is what the paper's authors and users recommend: closer to 1, keys move
	// more often.
	loadFactor = 1.25
	// moreCalls may be without a key: where an instance's share is a call at a time or less, chance makes
	// them two or three. With keys the bound evens out what the ring does not.
	moreCalls = 2
	// maxWalk bounds the search for an instance with room. At a factor of 1.25 it takes
	// some ten steps where all is full.
	maxWalk = 128
	// maxDraws bounds the same search for calls without a key.
	maxDraws = 16
)

type keyName struct{}

// keyed is a context with a key. It is its own value, which makes it one allocation.
type keyed struct {
	context.Context
	hash uint64
}

func (k *keyed) Value(name any) any {
	if _, ok := name.(keyName); ok {
		return k
	}
	return k.Context.Value(name)
}

// WithKey gives calls with this context a key, for Hash.
func WithKey(ctx context.Context, key string) context.Context {
	return &keyed{ctx, hash(key)}
}

// hash is FNV-1a, whose weak upper bits are mixed.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

type hashed struct{}

func (hashed) needs() needs { return needsOutstanding | needsTotal }

// build puts the points on the ring. About one point is in each of the buckets by which
// the ring is divided, so both sorting and finding are one step.
func (hashed) build(nodes []*node, e *env) chooser {
	r := &ring{nodes: nodes, env: e, byWeight: newAliases(nodes, e.rnd)}
	for _, n := range nodes {
		r.weight += n.share()
	}
	// Points go by weight, relative to the average one. That is rounded up to a power of two,
	// so that a change of one weight does not move all the others' keys.
	common := math.Exp2(math.Ceil(math.Log2(r.weight / float64(len(nodes)))))
	counts, total := make([]int, len(nodes)), 0
	for i, n := range nodes {
		counts[i] = max(int(math.Round(ringPoints*n.share()/common)), 1)
		total += counts[i]
	}
	width := bits.Len(uint(total)) // of a bucket's number
	r.shift = uint(32 - min(width, 32))
	r.first = make([]uint32, 1<<width+1)
	all := make([]uint64, 0, total)
	for i, n := range nodes {
		h := hash(n.in.Load().ID)
		for k := range counts[i] {
			at := mix(h+uint64(k)*gamma) >> 32
			all = append(all, at<<32|uint64(i))
			r.first[at>>r.shift+1]++
		}
	}
	for i := range len(r.first) - 1 {
		r.first[i+1] += r.first[i]
	}
	r.points = make([]uint64, total)
	next := append([]uint32(nil), r.first...)
	for _, p := range all {
		b := p >> 32 >> r.shift
		at := next[b]
		for ; at > r.first[b] && r.points[at-1] > p; at-- {
			r.points[at] = r.points[at-1]
		}
		r.points[at] = p
		next[b]++
	}
	return r
}

type ring struct {
	nodes    []*node
	env      *env
	byWeight *aliases // for calls without a key
	weight   float64  // of all
	points   []uint64 // place on the ring << 32 | index of the node; ascending
	first    []uint32 // by the upper bits of a place: the index of the first point from there on
	shift    uint     // from a place to its upper bits
}

func (r *ring) choose(ctx context.Context, _ int64) *node {
	// The bound counts this call, and is rounded up.
	bound := loadFactor * float64(r.env.total.Load()+1) / r.weight
	k, ok := ctx.Value(keyName{}).(*keyed)
	if !ok {
		best := r.byWeight.draw()
		for range maxDraws {
			if best.load() < math.Ceil(bound*best.share())+moreCalls {
				break
			}
			best = lighter(best, r.byWeight.draw())
		}
		return best
	}
	place := k.hash >> 32
	at := int(r.first[place>>r.shift])
	for at < len(r.points) && r.points[at]>>32 < place {
		at++
	}
	var best *node
	for range min(maxWalk, len(r.points)) {
		if at == len(r.points) {
			at = 0
		}
		n := r.nodes[uint32(r.points[at])]
		if n.load() < math.Ceil(bound*n.share()) {
			return n
		}
		if best == nil {
			best = n
		}
		best = lighter(best, n)
		at++
	}
	return best
}
