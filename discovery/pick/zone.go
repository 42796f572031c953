package pick

import "math"

// DefaultHealthy is the part of a zone's instances, by weight, that can carry all of its
// calls: services are provisioned with a reserve. (Envoy's documentation of priority levels
// calls the inverse, 1.4, the overprovisioning factor.)
const DefaultHealthy = 0.7

// divide tells the instances of the own zone from the others.
func (c *config) divide(list []*node) (near, far []*node) {
	if c.zone == "" {
		return list, nil
	}
	for _, n := range list {
		if n.in.Load().Zone == c.zone {
			near = append(near, n)
		} else {
			far = append(far, n)
		}
	}
	return near, far
}

// nearShare is the part of the calls, of 2^64, that those who are good among the near
// ones take.
func nearShare(near, good []*node) uint64 {
	var all, can float64
	for _, n := range near {
		all += n.base
	}
	for _, n := range good {
		can += n.base
	}
	part := can / (all * DefaultHealthy)
	if !(part < 1) { // also if there is none
		return math.MaxUint64
	}
	return uint64(part * (1 << 64))
}
