package pick

import "context"

// P2C picks the cheaper of two instances drawn at random (Mitzenmacher, "The Power of Two
// Choices in Randomized Load Balancing", 1996). Cost is the latency to expect times the
// calls under way, this one included, divided by the weight. Latency is averaged over some
// seconds; failed calls count as slow ones.
//
// Latency is from the pick to the report. Calls that are long by nature, such as streams,
// are better balanced by LeastOutstanding.
func P2C() Policy { return p2c{} }

type p2c struct{}

func (p2c) needs() needs { return needsOutstanding | needsLatency }

func (p2c) build(nodes []*node, e *env) chooser { return &cheaper{nodes, e.rnd} }

type cheaper struct {
	nodes []*node
	rnd   *source
}

func (c *cheaper) choose(_ context.Context, now int64) *node {
	n := len(c.nodes)
	if n == 1 {
		return c.nodes[0]
	}
	draw := c.rnd.uint64()
	i, j := below(uint32(draw>>32), n), below(uint32(draw), n-1)
	if j >= i {
		j++
	}
	a, b := c.nodes[i], c.nodes[j]
	la, lb := a.estimate(now), b.estimate(now)
	switch { // one that is not known is as fast as the other: faster, and it would get all calls
	case la == 0 && lb == 0:
		la, lb = 1, 1
	case la == 0:
		la = lb
	case lb == 0:
		lb = la
	}
	if lb*(b.load()+1)*a.share() < la*(a.load()+1)*b.share() {
		return b
	}
	return a
}
