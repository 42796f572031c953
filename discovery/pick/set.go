package pick

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
)

// ErrNoInstances is the target for errors.Is of a [*NoInstancesError].
var ErrNoInstances = errors.New("pick: no instance")

// NoInstancesError says why there is no instance to pick.
type NoInstancesError struct {
	Known      bool // the instances are known; if not, there was no answer yet
	Registered int  // the number of instances
	Draining   int  // those of them that take no new calls
	// Filter selects none of the rest, if it is not empty.
	Filter discovery.Filter
}

func (e *NoInstancesError) Error() string {
	switch {
	case !e.Known:
		return ErrNoInstances.Error() + ": the instances are not known yet"
	case e.Registered == 0:
		return ErrNoInstances.Error() + " is registered"
	}
	text := fmt.Sprintf("%v to pick: %d registered, %d of them draining", ErrNoInstances, e.Registered, e.Draining)
	if err := e.Filter.Validate(); err != nil {
		text += fmt.Sprintf(", and none taken: %v", err)
	} else if e.Filter != "" {
		text += fmt.Sprintf(", none of the rest matches %s, or none is left that was not tried", e.Filter)
	}
	return text
}

// Is reports that target is [ErrNoInstances].
func (e *NoInstancesError) Is(target error) bool { return target == ErrNoInstances }

// set is the data that picks read. It never changes.
type set struct {
	whole    *pool          // nil if there is none, or calls are split
	routes   *routes        // nil if they are not
	split    []SubsetStatus // nil if operators want none
	spillAt  int64          // calls under way at which a near one counts as full; 0: never
	err      error          // why there is none
	all      []*node        // that can be picked; nil: none
	every    []*node        // besides, those that the split leaves out
	replaced chan struct{}

	registered, draining int // instances
}

func (s *set) choose(ctx context.Context, rnd *source, now int64) *node {
	p := s.whole
	if s.routes != nil {
		p = s.routes.pool(ctx, rnd)
	}
	return p.choose(ctx, rnd, now, s.spillAt)
}

// adopt takes over a list of instances, and which of them are ready; nil: all. b.mu is held.
func (b *Balancer) adopt(instances []*discovery.Instance, ready []bool) {
	b.gen++
	b.order = make([]*node, 0, len(instances))
	now := b.now()
	for i, in := range instances {
		k := keyOf(in)
		n := b.nodes[k]
		if n == nil {
			n = &node{born: -1, warm: 1}
			if b.known && b.config.warmUp > 0 {
				n.born = now
			}
			b.nodes[k] = n
		}
		if n.gen == b.gen {
			continue // twice in the list
		}
		n.in.Store(in)
		n.gen, n.base, n.ready = b.gen, float64(in.EffectiveWeight()), ready == nil || ready[i]
		b.order = append(b.order, n)
	}
	for k, n := range b.nodes {
		if n.gen != b.gen {
			delete(b.nodes, k)
		}
	}
	b.known = true
}

// never: nothing is due.
const never = time.Duration(math.MaxInt64)

// publish makes a set of the present state and returns when the next is due; b.mu is held.
func (b *Balancer) publish() (due time.Duration) {
	if b.closed || !b.known || b.err != nil {
		return never
	}
	now := b.now()
	due = never
	cands := make([]*node, 0, len(b.order))
	draining, unmatched := 0, 0
	for _, n := range b.order {
		switch in := n.in.Load(); {
		case in.IsDraining():
			draining++
		case !b.config.filter.Matches(in):
			unmatched++
		default:
			cands = append(cands, n)
		}
	}
	whole, subsets := b.parts(cands)
	used := b.used(whole, subsets)
	b.cands, b.out = len(used), 0
	for _, n := range used {
		due = min(due, b.warm(n, now), b.pardon(n, now))
		n.weight.Store(math.Float64bits(n.base * n.warm))
		if n.ejected {
			b.out++
		}
	}
	good := usable
	if len(good(used)) == 0 { // ejected ones are better than none
		good = ready
	}
	s := &set{spillAt: b.config.spillAt, every: good(used), registered: len(b.order), draining: draining}
	if len(subsets) > 0 {
		s.routes, s.all, s.split = b.routes(subsets, good)
	}
	if s.routes == nil {
		s.whole, s.all = b.pool(whole, good)
	}
	if s.all == nil {
		none := &NoInstancesError{Known: true, Registered: len(b.order), Draining: draining}
		if unmatched > 0 {
			none.Filter = b.config.filter
		}
		s.err = none
	}
	b.replace(s)
	return due
}

// used returns the nodes of the parts, each once; b.mu is held.
func (b *Balancer) used(whole part, subsets []part) []*node {
	b.sets++
	var list []*node
	for _, p := range append(subsets, whole) {
		for _, nodes := range p.levels {
			for _, n := range nodes {
				if n.set != b.sets {
					n.set = b.sets
					list = append(list, n)
				}
			}
		}
	}
	return list
}

// replace publishes a set; b.mu is held.
func (b *Balancer) replace(s *set) {
	if s.all == nil && !b.closed {
		s.replaced = make(chan struct{})
	}
	if old := b.set.Swap(s); old.replaced != nil {
		close(old.replaced)
	}
}

func usable(list []*node) (good []*node) {
	for _, n := range list {
		if n.ready && !n.ejected {
			good = append(good, n)
		}
	}
	return good
}

func ready(list []*node) (good []*node) {
	for _, n := range list {
		if n.ready {
			good = append(good, n)
		}
	}
	return good
}
