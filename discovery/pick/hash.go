package pick

import (
	"context"
	"math"
)

// Hash picks the same instance for the same key ([WithKey]); without a key it picks at random, each
// instance as often as its weight says. Keys are spread by weight. When an instance comes or goes,
// or a weight changes, the keys that it gets or had move, and few others: up to 3 in 100 among ten
// instances, fewer among more. Processes with the same instances agree.
//
// An instance takes at most a quarter more than its share of the calls under way, and two; further
// calls go to the next instance that the key leads to (Mirrokni, Thorup, Zadimoghaddam, "Consistent
// Hashing with Bounded Loads", 2018), so that one popular key does not bring down an instance.
func Hash() Policy { return hashed{} }

const (
	// loadFactor of 1.25 is what the paper's authors and users recommend: closer to 1, keys
	// move more often.
	loadFactor = 1.25
	// moreCalls may be under way in addition: if an instance's share is one call at a time or less,
	// it has two or three by chance.
	moreCalls = 2
	// maxWalk bounds the search for an instance with room. At a factor of 1.25 it takes
	// some ten steps where all is full.
	maxWalk = 128
	// maxDraws bounds the same search for calls without a key.
	maxDraws = 16
)

type keyName struct{}

// keyed is a context with a key. The context is the value too, which saves an allocation.
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

// hashKind is for names whose hash stays in the process: it takes eight bytes at a time.
func hashKind(s string) uint64 {
	h := uint64(len(s))
	for ; len(s) >= 8; s = s[8:] {
		h = (h ^ word(s)) * gamma
		h ^= h >> 32
	}
	for i := range len(s) {
		h = h<<8 ^ h>>56 ^ uint64(s[i])
	}
	return mix(h)
}

func word(s string) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

type hashed struct{}

func (hashed) needs() needs { return needsOutstanding | needsTotal }

func (hashed) build(nodes []*node, e *env) chooser {
	h := &bounded{env: e, byWeight: newAliases(nodes, shares(nodes), e.rnd), keys: newSpread(nodes)}
	for _, n := range nodes {
		h.weight += n.share()
	}
	return h
}

// bounded limits each instance to its part of the calls under way.
type bounded struct {
	env      *env
	weight   float64  // of all
	byWeight *aliases // for calls without a key
	keys     *spread
}

func (h *bounded) choose(ctx context.Context, _ int64) *node {
	// The bound counts this call, and is rounded up.
	bound := loadFactor * float64(h.env.total.Load()+1) / h.weight
	full := func(n *node) bool { return n.load() >= math.Ceil(bound*n.share())+moreCalls }
	k, ok := ctx.Value(keyName{}).(*keyed)
	if !ok {
		best := h.byWeight.draw()
		for range maxDraws {
			if !full(best) {
				break
			}
			best = lighter(best, h.byWeight.draw())
		}
		return best
	}
	key := k.hash
	best := h.keys.at(key)
	for range maxWalk {
		if !full(best) {
			break
		}
		key += gamma
		if n := h.keys.at(mix(key)); !full(n) {
			return n
		} else {
			best = lighter(best, n)
		}
	}
	return best
}
