package pick

import "context"

// P2C draws two instances at random, each as often as its weight says (Mitzenmacher, "The Power of
// Two Choices in Randomized Load Balancing", 1996). It takes the first, unless that costs more than
// twice as much as the second: then the second. The cost is the expected latency times the calls
// under way, relative to the weights of the two. So instances that do about equally well get what
// their weights say, and slow, busy or failing ones less. Latency is averaged over some seconds;
// failed calls count as slow ones.
//
// An instance that was passed over several times in a row is picked all the same, to see whether it
// has recovered: about every eighth time that its weight would have it picked.
//
// Latency is the time from the pick to the report. Calls that are long by nature, such as streams,
// are better balanced by [LeastOutstanding].
func P2C() Policy { return p2c{} }

const (
	// nearlyEqual is how much more the first of two may cost: latencies vary that much.
	nearlyEqual = 2
	// fewCalls are added to the calls under way: as long as these are few, chance makes them none
	// or twice the right number. With one instead of two, an instance that has one call at a time
	// beside another with a hundred, as their weights say, would never be left idle, and would get
	// a third too much.
	fewCalls = 2
	// passedOver is how often in a row a drawn node is passed over for another one. Each node is
	// drawn twice as often as it would be picked by weight, so this takes half as many turns.
	passedOver = 16
)

type p2c struct{}

func (p2c) needs() needs { return needsOutstanding | needsLatency }

func (p2c) build(nodes []*node, e *env) chooser {
	return &cheaper{nodes: nodes, byWeight: newAliases(nodes, shares(nodes), e.rnd)}
}

type cheaper struct {
	nodes    []*node
	byWeight *aliases
}

func (c *cheaper) choose(context.Context, int64) *node {
	if len(c.nodes) == 1 {
		return c.nodes[0]
	}
	a, b := c.byWeight.two()
	drawn := a != b // what is drawn in its place is not drawn by weight
	if !drawn {
		if b = c.instead(a); b == a {
			return a // drawn again and again
		}
	}
	costA, costB := costs(a, b)
	switch {
	case costA > nearlyEqual*costB:
		if a.passOver() {
			return b
		}
	case costB > nearlyEqual*costA: // else b is picked whenever it is drawn first
		if drawn && !b.passOver() {
			return b
		}
	}
	return a
}

// instead draws a node beside a, which was drawn twice: by weight as long as that may find another.
func (c *cheaper) instead(a *node) *node {
	if len(c.nodes) == 2 {
		if c.nodes[0] != a {
			return c.nodes[0]
		}
		return c.nodes[1]
	}
	x, y := c.byWeight.two()
	switch {
	case x != a:
		return x
	case y != a:
		return y
	}
	return c.nodes[below(uint32(c.byWeight.rnd.uint64()), len(c.nodes))]
}

// cheaperThan reports that b costs so much less than a that the order of drawing does not count.
func cheaperThan(b, a *node) bool {
	ofA, ofB := costs(a, b)
	return ofA > nearlyEqual*ofB
}

// costs returns what each of two costs beside the other; only their ratio means something.
func costs(a, b *node) (ofA, ofB float64) {
	la, lb := a.expected(), b.expected()
	switch { // an unknown one counts as fast as the other: if it counted as faster, it would get all calls
	case la == 0 && lb == 0:
		la, lb = 1, 1
	case la == 0:
		la = lb
	case lb == 0:
		lb = la
	}
	oa, ob, wa, wb := a.load(), b.load(), a.share(), b.share()
	// The calls under way are compared with those that each would have by its weight. All is
	// multiplied by the weight of both, which saves the division.
	calls, few := oa+ob, fewCalls*(wa+wb)
	return la * (oa + fewCalls) * (calls*wb + few), lb * (ob + fewCalls) * (calls*wa + few)
}
