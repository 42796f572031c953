package pick

import (
	"context"
	"math"
)

// LeastOutstanding picks the instance with the fewest calls under way for its weight. Up to
// 16 instances of equal weight it looks at all of them. Of more it looks at four drawn at random: to
// look at a thousand takes too long, and callers that all find the same one least loaded
// would run it over. Of instances with different weights it looks at two, drawn as often as their
// weights say.
//
// One that was passed over several times in a row is picked all the same, as with P2C.
func LeastOutstanding() Policy { return least{} }

const (
	lookAtAll = 16
	// lookAt is how many are drawn: the step from one to two is the large one, four are
	// near to all (Mitzenmacher, see P2C).
	lookAt = 4
)

type least struct{}

func (least) needs() needs { return needsOutstanding }

func (least) build(nodes []*node, e *env) chooser {
	f := &fewest{nodes: nodes, rnd: e.rnd, byWeight: newAliases(nodes, e.rnd), unit: math.Inf(1)}
	most := 0.0
	for _, n := range nodes {
		f.unit, most = min(f.unit, n.share()), max(most, n.share())
	}
	f.equal = f.unit == most
	return f
}

type fewest struct {
	nodes    []*node
	rnd      *source
	byWeight *aliases
	unit     float64 // the least weight
	equal    bool    // all have it
}

func (f *fewest) choose(context.Context, int64) *node {
	a, b := f.byWeight.draw(), f.byWeight.draw()
	best := a
	switch {
	case !f.equal:
		draw := f.rnd.uint64()
		if f.part(b, uint32(draw>>32)) < f.part(a, uint32(draw)) {
			best = b
		}
	case len(f.nodes) <= lookAtAll:
		best = f.ofAll(a, b)
	default:
		best = fewer(a, b)
		for range lookAt - 2 {
			best = fewer(best, f.byWeight.draw())
		}
	}
	if a != best && !a.passOver() {
		return a
	}
	if b != best && b != a && !b.passOver() {
		return b
	}
	return best
}

// part is how many calls are under way on a part of n which has the least weight of all: n counts as
// so many instances of that weight as it has of it, among which its calls are spread evenly, and one of
// these was drawn. So what is compared are whole calls on equals, and chance favours nobody. To compare
// calls for each of weight would let a light instance that is idle have every call.
func (f *fewest) part(n *node, chance uint32) int64 {
	return int64(n.load()*f.unit/n.share() + float64(chance)/(1<<32))
}

// ofAll looks at all, a first, then from anywhere, so that equal ones get equally much.
func (f *fewest) ofAll(a, b *node) *node {
	best := fewer(a, b)
	if best.outstanding.Load() <= 0 {
		return best
	}
	i := below(uint32(f.rnd.uint64()), len(f.nodes))
	for range f.nodes {
		best = fewer(best, f.nodes[i])
		if i++; i == len(f.nodes) {
			i = 0
		}
	}
	return best
}

// fewer is the one with fewer calls under way, the first of equals.
func fewer(a, b *node) *node {
	if b.outstanding.Load() < a.outstanding.Load() {
		return b
	}
	return a
}

// lighter is the one that would have the smaller load for its weight with one call more,
// the first of equals.
func lighter(a, b *node) *node {
	if (b.load()+1)*a.share() < (a.load()+1)*b.share() {
		return b
	}
	return a
}
