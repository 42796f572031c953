package pick

import (
	"context"
	"math"
)

// LeastOutstanding picks the instance with the fewest calls under way for its weight. Up to 16
// instances of equal weight it looks at all of them. Of more it looks at four drawn at random:
// looking at a thousand takes too long, and callers that all find the same one least loaded would
// overload it. Of instances with different weights it looks at two, drawn as often as their weights
// say.
//
// An instance that was passed over several times in a row is picked all the same, as with [P2C].
func LeastOutstanding() Policy { return least{} }

const (
	lookAtAll = 16
	// lookAt is how many are drawn: the step from one to two is the large one, and four come near
	// to all (Mitzenmacher, see P2C).
	lookAt = 4
)

type least struct{}

func (least) needs() needs { return needsOutstanding }

func (least) build(nodes []*node, e *env) chooser {
	f := &fewest{rnd: e.rnd, nodes: nodes, candidates: newAliases(nodes, shares(nodes), e.rnd)}
	unit, most := math.Inf(1), 0.0
	for _, n := range nodes {
		unit, most = min(unit, n.share()), max(most, n.share())
	}
	if unit < most {
		f.rate(unit)
	}
	return f
}

type fewest struct {
	rnd        *source
	nodes      []*node
	candidates *aliases
	rated      []rated // the candidates' columns, of different weights
}

// rated is a column that also has, for each of its nodes, the fraction of the node's calls that
// falls to a part with the least weight. So a pick needs no weights and no division.
type rated struct {
	own, other         *node
	cut                uint32 // own's part less one, of 2^32
	ownPart, otherPart float32
}

func (f *fewest) rate(unit float64) {
	f.rated = make([]rated, len(f.candidates.columns))
	for i, c := range f.candidates.columns {
		f.rated[i] = rated{
			c.nodes[own],
			c.nodes[other],
			uint32(max(c.cut, 1) - 1),
			float32(unit / c.nodes[own].share()),
			float32(unit / c.nodes[other].share()),
		}
	}
}

func (f *fewest) choose(context.Context, int64) *node {
	if f.rated != nil {
		return f.ofParts()
	}
	a, b := f.candidates.draw(), f.candidates.draw()
	best := a
	if len(f.nodes) <= lookAtAll {
		best = f.ofAll(a, b)
	} else {
		best = fewer(a, b)
		for range lookAt - 2 {
			best = fewer(best, f.candidates.draw())
		}
	}
	return f.unless(best, a, b)
}

// unless returns best, or a or b if that was passed over too often.
func (f *fewest) unless(best, a, b *node) *node {
	if a != best && !a.passOver() {
		return a
	}
	if b != best && b != a && !b.passOver() {
		return b
	}
	return best
}

// ofParts compares how many calls are under way on a part of each of two nodes. A part has the
// least weight of all nodes: a node counts as as many instances of that weight as fit into its own,
// its calls are spread evenly among them, and one of these was drawn. So whole calls on equals are
// compared, and chance favours no node. Comparing calls for each of weight would let an idle light
// instance have every call.
func (f *fewest) ofParts() *node {
	a, onA := f.part()
	b, onB := f.part()
	if onB < onA {
		return f.unless(b, a, b)
	}
	return f.unless(a, a, b)
}

// part draws a node, and returns how many calls are under way on the drawn part of it.
func (f *fewest) part() (n *node, calls int32) {
	draw := f.rnd.uint64()
	// The upper half selects the column. The rest, which is as good as a number of its own, selects
	// the part of the node.
	column := draw >> 32 * uint64(len(f.rated))
	c := &f.rated[column>>32]
	n, part := c.own, c.ownPart
	if uint32(draw) > c.cut {
		n, part = c.other, c.otherPart
	}
	chance := float32(uint32(column)>>8) * (1.0 / (1 << 24))
	return n, int32(float32(max(n.outstanding.Load(), 0))*part + chance)
}

// ofAll looks at all nodes, at a first, then from a random place, so that equal ones get an equal
// number of calls.
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

// fewer returns the one with fewer calls under way, the first of equals.
func fewer(a, b *node) *node {
	if b.outstanding.Load() < a.outstanding.Load() {
		return b
	}
	return a
}

// lighter returns the one that would have the smaller load for its weight with one more call, the
// first of equals.
func lighter(a, b *node) *node {
	if (b.load()+1)*a.share() < (a.load()+1)*b.share() {
		return b
	}
	return a
}
