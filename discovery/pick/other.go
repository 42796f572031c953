package pick

import (
	"context"
	"slices"

	"github.com/fairlead-go/fairlead/discovery"
)

// otherTries is how often the policy is asked for another node, before any other is taken.
const otherTries = 4

// PickOther is [Balancer.Pick] for a repeated call: it chooses none of the instances on which the
// call was tried. If the policy has no other, as may happen with [Hash], it takes any other at
// random. If there is no other at all, the error is [ErrNoInstances], even with [WithWait]. It
// takes longer than Pick.
func (b *Balancer) PickOther(ctx context.Context, tried ...*discovery.Instance) (*discovery.Instance, Done, error) {
	was := func(in *discovery.Instance) bool {
		return slices.ContainsFunc(tried, func(t *discovery.Instance) bool { return keyOf(t) == keyOf(in) })
	}
	if len(tried) == 0 {
		return b.Pick(ctx)
	}
	s := b.set.Load()
	if s.all == nil {
		return nil, Done{}, s.err
	}
	for range otherTries {
		in, done, err := b.Pick(ctx)
		if err != nil || !was(in) {
			return in, done, err
		}
		done.Report(Ignored)
	}
	n := s.any(&b.rnd, func(n *node) bool { return !was(n.in.Load()) })
	if n == nil {
		return nil, Done{}, ErrNoInstances
	}
	b.begin(n)
	return n.in.Load(), Done{b: b, n: n, began: b.now()}, nil
}

// any returns an allowed node, at random, and one on trial only if there is no other; nil if there
// is none at all.
func (s *set) any(rnd *source, allowed func(*node) bool) (found *node) {
	at := below(uint32(rnd.uint64()), len(s.all))
	for i := range s.all {
		n := s.all[(at+i)%len(s.all)]
		if !allowed(n) {
			continue
		}
		if n.trial.Load() == noTrial {
			return n
		}
		found = n
	}
	return found
}
