package pick

import "math"

// Weighted picks instances in turn, each as often as its weight says, and spreads the
// turns of each one, so that a heavy instance does not get a run of calls (smooth
// weighted round robin, as known from nginx).
//
// The turns are laid out beforehand and picking is counting; nginx's algorithm looks at all
// instances for each pick, under a lock. With up to 16 turns per instance on average shares are
// exact, else they are right to a sixteenth of the average weight; every instance has a turn.
func Weighted() Policy { return weighted{} }

type weighted struct{}

func (weighted) needs() needs { return 0 }

func (weighted) build(nodes []*node, e *env) chooser {
	return inTurn(nodes, e, (*node).share)
}

const (
	// turnsEach bounds the turns per node on average, and so the cost of laying them out.
	turnsEach = 16
	// turnsFew turns are always allowed: few nodes with odd weights.
	turnsFew = 4096
	// fine is the resolution of a weight, since those of new instances are fractions.
	fine = 64
)

// inTurn lays out turns in proportion to weights.
func inTurn(nodes []*node, e *env, weight func(*node) float64) chooser {
	whole := make([]uint64, len(nodes))
	var sum, divisor uint64
	for i, n := range nodes {
		whole[i] = max(uint64(math.Round(weight(n)*fine)), 1)
		sum += whole[i]
		divisor = gcd(whole[i], divisor)
	}
	limit := uint64(max(turnsEach*len(nodes), turnsFew))
	total := 0
	counts := make([]int, len(nodes))
	for i, w := range whole {
		counts[i] = int(w / divisor)
		if sum/divisor > limit {
			counts[i] = max(int(math.Round(float64(w)*float64(limit)/float64(sum))), 1)
		}
		total += counts[i]
	}
	return &turns{nodes: layOut(nodes, counts, total), turn: &e.turn}
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// layOut gives each node its turns at even distances, and sorts all by place. The place where a
// node begins follows the golden ratio, which keeps the beginnings of any number of nodes apart
// (Knuth, The Art of Computer Programming, volume 3, section 6.4). There is about one turn to each
// place, so sorting is counting.
func layOut(nodes []*node, counts []int, total int) []*node {
	before := make([]int32, total+1) // how many turns are before a place
	each(counts, total, func(_, place int) { before[place+1]++ })
	for i := range total {
		before[i+1] += before[i]
	}
	out := make([]*node, total)
	each(counts, total, func(i, place int) {
		out[before[place]] = nodes[i]
		before[place]++
	})
	return out
}

// each calls f with the places that each node would like.
func each(counts []int, total int, f func(node, place int)) {
	for i, c := range counts {
		begin := float64(uint64(i)*gamma) / (1 << 64)
		for k := range c {
			f(i, min(int((float64(k)+begin)*float64(total)/float64(c)), total-1))
		}
	}
}
