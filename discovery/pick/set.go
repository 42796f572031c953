package pick

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/discovery"
)

// ErrNoInstances is what a *NoInstancesError is for errors.Is.
var ErrNoInstances = errors.New("pick: no instance")

// NoInstancesError says why there is nothing to pick from.
type NoInstancesError struct {
	Known      bool // what there is has been learned; if not, nobody has said yet
	Registered int  // instances there are
	Draining   int  // of them, those that want no new calls
}

func (e *NoInstancesError) Error() string {
	switch {
	case !e.Known:
		return ErrNoInstances.Error() + ": what there is is not known yet"
	case e.Registered == 0:
		return ErrNoInstances.Error() + " is registered"
	}
	return fmt.Sprintf("%v to pick: %d registered, %d of them draining", ErrNoInstances, e.Registered, e.Draining)
}

// Is reports that target is ErrNoInstances.
func (e *NoInstancesError) Is(target error) bool { return target == ErrNoInstances }

// set is what a pick looks at. It never changes.
type set struct {
	near, far chooser // far is nil if all are near; near is nil if there is none
	nearShare uint64  // picks go near if a draw is not above; math.MaxUint64 for all
	spillAt   int64   // calls under way at which a near one counts as full; 0: never
	err       error   // why there is none
	all       []*node // that can be picked
	replaced  chan struct{}
}

func (s *set) choose(ctx context.Context, rnd *source, now int64) *node {
	if s.far == nil {
		return s.near.choose(ctx, now)
	}
	if s.nearShare != math.MaxUint64 && rnd.uint64() > s.nearShare {
		return s.far.choose(ctx, now)
	}
	n := s.near.choose(ctx, now)
	if s.spillAt > 0 && n.outstanding.Load() >= s.spillAt {
		if m := s.far.choose(ctx, now); m.outstanding.Load() < s.spillAt {
			return m
		}
	}
	return n
}

// adopt takes a list of instances, and which of them are ready; nil: all. b.mu is held.
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

// never is when nothing is due.
const never = time.Duration(math.MaxInt64)

// publish makes a set of what is known and says when the next is due; b.mu is held.
func (b *Balancer) publish() (due time.Duration) {
	if b.closed || !b.known {
		return never
	}
	now := b.now()
	due = never
	cands := make([]*node, 0, len(b.order))
	for _, n := range b.order {
		if !n.in.Load().IsDraining() {
			cands = append(cands, n)
		}
	}
	draining := len(b.order) - len(cands)
	near, far := b.config.split(cands)
	near, far = b.config.few(near), b.config.few(far)
	b.cands, b.out = len(near)+len(far), 0
	for _, list := range [][]*node{near, far} {
		for _, n := range list {
			due = min(due, b.warm(n, now), b.pardon(n, now))
			n.weight.Store(math.Float64bits(n.base * n.warm))
			if n.ejected {
				b.out++
			}
		}
	}
	goodNear, goodFar := usable(near), usable(far)
	if len(goodNear)+len(goodFar) == 0 { // ejected ones are better than none
		goodNear, goodFar = ready(near), ready(far)
	}
	s := &set{nearShare: nearShare(near, goodNear), spillAt: b.config.spillAt, all: slices.Concat(goodNear, goodFar)}
	switch {
	case len(goodNear) > 0 && len(goodFar) > 0:
		s.near, s.far = b.policy.build(goodNear, &b.near), b.policy.build(goodFar, &b.far)
	case len(goodNear) > 0:
		s.near = b.policy.build(goodNear, &b.near)
	case len(goodFar) > 0:
		s.near = b.policy.build(goodFar, &b.far)
	default:
		s.err = &NoInstancesError{Known: true, Registered: len(b.order), Draining: draining}
	}
	b.replace(s)
	return due
}

// replace publishes a set; b.mu is held.
func (b *Balancer) replace(s *set) {
	if s.near == nil && !b.closed {
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
