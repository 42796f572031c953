package pick

import "time"

const (
	// coldest is the part of its share that a new instance begins with: with none it would
	// never warm up.
	coldest = 0.1
	// warmSteps is the number of steps in which it rises to its whole share.
	warmSteps = 20
)

// warm sets the part of its weight that a node gets now and returns when that changes; b.mu is
// held.
func (b *Balancer) warm(n *node, now int64) (due time.Duration) {
	age := time.Duration(now - n.born)
	if n.born < 0 || age >= b.config.warmUp {
		n.born, n.warm = -1, 1
		return never
	}
	n.warm = max(float64(age)/float64(b.config.warmUp), coldest)
	return max(b.config.warmUp/warmSteps, restLeast)
}
