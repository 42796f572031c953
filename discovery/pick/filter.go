package pick

import (
	"context"
	"math"
	"slices"

	"github.com/fairlead-go/fairlead/discovery"
)

// WithFilter picks only among the instances that a filter selects; a split applies to them. If it
// selects none, or is invalid, the error of [Balancer.Pick] says so.
func WithFilter(f discovery.Filter) Option { return func(b *Balancer) { b.config.filter = f } }

// PickMatching is [Balancer.Pick] for a call that must go to an instance that a filter selects,
// whatever the split says, and to none of those on which it was tried. Of two drawn by weight it
// takes the cheaper one, as [P2C] does; with the policy [Hash] and a key, it takes the same one for
// the same key. It looks at all instances, so it takes longer the more there are, stays within the
// subset of [WithSubset], and ignores zones. If there is none, the error is a [*NoInstancesError],
// even with [WithWait].
func (b *Balancer) PickMatching(
	ctx context.Context,
	f discovery.Filter,
	tried ...*discovery.Instance,
) (*discovery.Instance, Done, error) {
	if f == "" {
		return b.PickOther(ctx, tried...)
	}
	if err := f.Validate(); err != nil {
		return nil, Done{}, err
	}
	s := b.set.Load()
	if len(s.every) == 0 {
		return nil, Done{}, s.err
	}
	allowed := func(n *node) bool {
		in := n.in.Load()
		return f.Matches(in) &&
			!slices.ContainsFunc(tried, func(t *discovery.Instance) bool { return keyOf(t) == keyOf(in) })
	}
	n, trial := s.matching(ctx, b, allowed)
	if n == nil {
		return nil, Done{}, &NoInstancesError{Known: true, Registered: s.registered, Draining: s.draining, Filter: f}
	}
	b.begin(n)
	return n.in.Load(), Done{b: b, n: n, began: b.now(), trial: trial}, nil
}

// matching chooses among the allowed nodes: one on trial only if its trial is due, or there is no
// other.
func (s *set) matching(ctx context.Context, b *Balancer, allowed func(*node) bool) (n *node, trial bool) {
	var first, second, onTrial *node
	var sum, best float64
	now := b.now()
	k, keyed := ctx.Value(keyName{}).(*keyed)
	if _, ok := b.policy.(hashed); !ok {
		keyed = false
	}
	for _, n := range s.every {
		if !allowed(n) {
			continue
		}
		if b.doubtful(n, now) {
			if n.try(now, int64(b.config.ejection.Base)) {
				return n, true
			}
			onTrial = n
			continue
		}
		w := n.share()
		if keyed { // rendezvous by weight: the least of exponentially distributed places
			if at := -math.Log(unit(mix(k.hash^hash(n.in.Load().ID)))) / w; first == nil || at < best {
				first, second, best = n, n, at
			}
			continue
		}
		sum += w
		if unit(b.rnd.uint64())*sum <= w {
			first = n
		}
		if unit(b.rnd.uint64())*sum <= w {
			second = n
		}
	}
	switch {
	case first == nil:
		return onTrial, false
	case first != second && cheaperThan(second, first):
		return second, false
	}
	return first, false
}

// unit returns a number above 0, up to 1.
func unit(bits uint64) float64 { return (float64(bits>>11) + 1) / (1 << 53) }
