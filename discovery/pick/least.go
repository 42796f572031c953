package pick

import "context"

// LeastOutstanding picks the instance with the fewest calls under way for its weight. Up to
// 16 instances it looks at all of them. Of more it looks at four drawn at random: to look
// at a thousand takes too long, and callers that all find the same one least loaded
// would run it over.
func LeastOutstanding() Policy { return least{} }

const (
	lookAtAll = 16
	// lookAt is how many are drawn: the step from one to two is the large one, four are
	// near to all (Mitzenmacher, see P2C).
	lookAt = 4
)

type least struct{}

func (least) needs() needs { return needsOutstanding }

func (least) build(nodes []*node, e *env) chooser { return &fewest{nodes, e.rnd} }

type fewest struct {
	nodes []*node
	rnd   *source
}

func (f *fewest) choose(context.Context, int64) *node {
	draw := f.rnd.uint64()
	n := len(f.nodes)
	if n <= lookAtAll {
		i := below(uint32(draw>>32), n) // begins anywhere, so that equal ones get equally much
		best := f.nodes[i]
		for range n - 1 {
			if i++; i == n {
				i = 0
			}
			best = lighter(best, f.nodes[i])
		}
		return best
	}
	best := f.nodes[below(uint32(draw>>32), n)]
	best = lighter(best, f.nodes[below(uint32(draw), n)])
	for range (lookAt - 2) / 2 {
		draw = f.rnd.uint64()
		best = lighter(best, f.nodes[below(uint32(draw>>32), n)])
		best = lighter(best, f.nodes[below(uint32(draw), n)])
	}
	return best
}

// lighter is the one that would have the smaller load for its weight with one call more,
// the first of equals.
func lighter(a, b *node) *node {
	if (b.load()+1)*a.share() < (a.load()+1)*b.share() {
		return b
	}
	return a
}
