package pick

import "context"

// Random picks at random, in proportion to weights.
func Random() Policy { return random{} }

type random struct{}

func (random) needs() needs { return 0 }

func (random) build(nodes []*node, e *env) chooser { return newAliases(nodes, shares(nodes), e.rnd) }

// newAliases makes a table from which a weighted choice takes one draw: each column belongs to its
// own node and at most one other (Vose, "A Linear Algorithm for Generating Random Numbers with a
// Given Distribution", 1991).
func newAliases(nodes []*node, parts []float64, rnd *source) *aliases {
	each := sum(parts) / float64(len(nodes))
	t := &aliases{rnd: rnd, columns: make([]column, len(nodes))}
	fill := make([]float64, len(nodes)) // of the column, 1 being just right
	var small, large []int
	for i, n := range nodes {
		t.columns[i] = column{nodes: [2]*node{n, n}, cut: 1 << 32}
		if fill[i] = parts[i] / each; fill[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		t.columns[s].nodes[other], t.columns[s].cut = nodes[l], uint64(fill[s]*(1<<32))
		if fill[l] -= 1 - fill[s]; fill[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	return t // what is left in either list is 1 but for rounding
}

type column struct {
	nodes [2]*node // by other and own
	cut   uint64   // own's part, of 2^32
}

const other, own = 0, 1

// at returns the node at a place of 32 bits. It does not branch: no processor can predict a draw.
func (c *column) at(place uint64) *node { return c.nodes[(place-c.cut)>>63] }

type aliases struct {
	rnd     *source
	columns []column
}

func (t *aliases) choose(context.Context, int64) *node { return t.draw() }

// shares returns the weights of the nodes.
func shares(nodes []*node) []float64 {
	list := make([]float64, len(nodes))
	for i, n := range nodes {
		list[i] = n.share()
	}
	return list
}

func (t *aliases) draw() *node { return t.at(t.rnd.uint64()) }

// two draws two nodes by one number. Half of it is a place on all columns in a row; where in its
// column that falls decides between the column's nodes.
func (t *aliases) two() (a, b *node) {
	draw := t.rnd.uint64()
	return t.half(uint32(draw >> 32)), t.half(uint32(draw))
}

func (t *aliases) half(draw uint32) *node {
	place := uint64(draw) * uint64(len(t.columns))
	return t.columns[place>>32].at(place & (1<<32 - 1))
}

// at returns the node that a number leads to; the number was drawn, or is a key's.
func (t *aliases) at(draw uint64) *node {
	return t.columns[below(uint32(draw>>32), len(t.columns))].at(draw & (1<<32 - 1))
}
