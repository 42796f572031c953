package pick

import (
	"math"
	"math/bits"
)

// A spread gives each key an instance, and each instance as many keys as its weight says. A plain
// ring of points has parts that are right to a tenth with 128 points for an instance, and wrong
// with one, which is what a light instance beside a heavy one has; to be right to a hundredth it
// needs ten thousand for each. But the size of each part is known. So an instance whose part is too
// large keeps its due: other keys go on to a second ring, whose points belong to the instances with
// too small a part, by how much they lack. The remaining error, about one key in two hundred, is
// drawn exactly.
//
// Bits that the ring does not use decide which keys an instance does not keep, against a bound:
// when parts change a little, few keys are decided otherwise.

// points of an instance of common weight on each ring. With half of them half as many keys again
// move needlessly, with twice as many a change of a thousand instances takes twice the time.
var points = [...]float64{128, 32}

type spread struct {
	nodes []*node
	rings []ring
	rest  *aliases // nil if the rings are right
}

// right bounds errors that are mere rounding.
const right = 1e-9

func newSpread(nodes []*node) *spread {
	s := &spread{nodes: nodes}
	want := shares(nodes)
	for layer, each := range points {
		r := newRing(nodes, want, each, uint64(layer))
		s.rings = append(s.rings, r.ring)
		lack := make([]float64, len(want)) // in weights, as want is: in parts of what there is, all would change
		sum, lacking := sum(want), 0.0
		for i, has := range r.has {
			if has *= sum; has > want[i] {
				r.keep[i] = uint64(want[i] / has * whole)
			}
			lack[i] = max(want[i]-has, 0)
			lacking += lack[i]
		}
		if lacking < right*sum {
			for i := range r.keep {
				r.keep[i] = whole
			}
			return s
		}
		want = lack
	}
	s.rest = newAliases(nodes, want, nil)
	return s
}

func sum(list []float64) (all float64) {
	for _, x := range list {
		all += x
	}
	return all
}

func (s *spread) at(key uint64) *node {
	for i := range s.rings {
		if n, ok := s.rings[i].at(key); ok {
			return s.nodes[n]
		}
		key = mix(key + gamma)
	}
	return s.rest.at(key)
}

// ring has points in ascending order. About one is in each of the buckets that divide the ring, so
// both sorting and finding are one step.
type ring struct {
	points []uint64 // place on the ring << 32 | index of the node
	first  []uint32 // by the upper bits of a place: the index of the first point from there on
	shift  uint     // from a place to its upper bits
	keep   []uint64 // by index: the part of its keys that a node keeps, of 2^32
}

// whole is one, in parts of 2^32.
const whole = 1 << 32

// measured is a ring with the part of it that each node has.
type measured struct {
	ring
	has []float64
}

// newRing puts points on a ring, by each node's want relative to the average of all wants that are
// not zero. That average is rounded up to a power of two, so that a change of one node does not
// move the keys of all others.
func newRing(nodes []*node, want []float64, each float64, salt uint64) measured {
	some, total := 0, 0
	for _, w := range want {
		if w > 0 {
			some++
		}
	}
	common := math.Exp2(math.Ceil(math.Log2(sum(want)/float64(some)) - right))
	counts := make([]int, len(want))
	for i, w := range want {
		if w > 0 {
			counts[i] = max(int(math.Round(each*w/common)), 1)
		}
		total += counts[i]
	}
	width := bits.Len(uint(total)) // of a bucket's number
	r := measured{has: make([]float64, len(want))}
	r.shift = uint(32 - min(width, 32))
	r.first = make([]uint32, 1<<width+1)
	unsorted := make([]uint64, 0, total)
	for i, n := range nodes {
		h := hash(n.in.Load().ID) ^ mix(salt)
		for k := range counts[i] {
			at := mix(h+uint64(k)*gamma) >> 32
			unsorted = append(unsorted, at<<32|uint64(i))
			r.first[at>>r.shift+1]++
		}
	}
	r.sort(unsorted)
	r.measure(len(want))
	return r
}

func (r *ring) sort(unsorted []uint64) {
	for i := range len(r.first) - 1 {
		r.first[i+1] += r.first[i]
	}
	r.points = make([]uint64, len(unsorted))
	next := append([]uint32(nil), r.first...)
	for _, p := range unsorted {
		b := p >> 32 >> r.shift
		at := next[b]
		for ; at > r.first[b] && r.points[at-1] > p; at-- {
			r.points[at] = r.points[at-1]
		}
		r.points[at] = p
		next[b]++
	}
}

// measure adds up the part of each node: a point has the stretch from the point before it.
func (r *measured) measure(nodes int) {
	r.keep = make([]uint64, nodes)
	for i := range r.keep {
		r.keep[i] = whole
	}
	before := r.points[len(r.points)-1]>>32 - whole // the ring is round: less than nothing wraps
	for _, p := range r.points {
		r.has[uint32(p)] += float64(p>>32-before) / whole
		before = p >> 32
	}
}

// at returns the node of the first point from the key's place on, and whether it keeps the key.
func (r *ring) at(key uint64) (node uint32, kept bool) {
	place := key >> 32
	at := int(r.first[place>>r.shift])
	for at < len(r.points) && r.points[at]>>32 < place {
		at++
	}
	if at == len(r.points) {
		at = 0
	}
	node = uint32(r.points[at])
	return node, key&(whole-1) < r.keep[node]
}
