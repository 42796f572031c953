package pick

import (
	"context"
	"math"
	"slices"
)

// DefaultHealthy is the part of a zone's instances, by weight, that can carry all of its
// calls: services are provisioned with a reserve. (Envoy's documentation of priority levels
// calls the inverse, 1.4, the overprovisioning factor.)
const DefaultHealthy = 0.7

// levels returns the instances of each zone, in the order of preference, and then all others.
func (c *config) levels(list []*node) [][]*node {
	if len(c.zones) == 0 {
		return [][]*node{list}
	}
	levels := make([][]*node, len(c.zones)+1)
	for _, n := range list {
		at := slices.Index(c.zones, n.in.Load().Zone)
		if at < 0 {
			at = len(c.zones)
		}
		levels[at] = append(levels[at], n)
	}
	return levels
}

// level chooses in one zone, up to a place: picks that draw a higher place go further.
type level struct {
	chooser
	end uint64
}

// capacity returns the part of all calls that a zone's good instances can take.
func capacity(all, good []*node) float64 {
	var registered, can float64
	for _, n := range all {
		registered += n.base
	}
	for _, n := range good {
		can += n.base
	}
	if can == 0 {
		return 0
	}
	return min(can/(registered*DefaultHealthy), 1)
}

// pool is the instances among which the policy chooses: all, or a subset of a split.
type pool struct {
	levels []level // those that have instances; at least one, and the last takes what is left
}

// choose picks a node. An instance with spillAt calls under way counts as full; 0: never.
func (p *pool) choose(ctx context.Context, rnd *source, now, spillAt int64) *node {
	if len(p.levels) == 1 {
		return p.levels[0].choose(ctx, now)
	}
	at := 0
	if p.levels[0].end != math.MaxUint64 {
		for place := rnd.uint64(); place > p.levels[at].end; {
			at++
		}
	}
	n := p.levels[at].choose(ctx, now)
	if spillAt > 0 && int64(n.outstanding.Load()) >= spillAt {
		for i := at + 1; i < len(p.levels); i++ {
			if m := p.levels[i].choose(ctx, now); int64(m.outstanding.Load()) < spillAt {
				return m
			}
		}
	}
	return n
}

// pool makes a pool of the part's good nodes, and returns these; nil if there is none. b.mu is
// held.
func (b *Balancer) pool(p part, good func([]*node) []*node) (*pool, []*node) {
	made := new(pool)
	var nodes []*node
	taken := 0.0
	for i, all := range p.levels {
		some := good(all)
		if len(some) == 0 {
			continue
		}
		taken = min(taken+capacity(all, some), 1)
		made.levels = append(made.levels, level{b.policy.build(some, b.env(p.filter, i)), place(taken)})
		nodes = append(nodes, some...)
	}
	if len(nodes) == 0 {
		return nil, nil
	}
	made.levels[len(made.levels)-1].end = math.MaxUint64
	return made, nodes
}
