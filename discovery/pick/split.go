package pick

// A traffic split: each call goes to one of the subsets of the instances, drawn in the proportions
// that operators ask for (discovery.Split), and the policy chooses within the subset. A subset
// without a live instance gives its part to the others, in proportion. If that leaves none, calls
// go to all instances.
//
// The data for a pick is laid out beforehand, in routes. The key of a call, if it has one, takes
// the place of the draw: it stays with its subset while others lose their instances, and moves only
// as far as the percentages do.

import (
	"context"
	"maps"
	"math"
	"slices"

	"github.com/fairlead-go/fairlead/discovery"
)

// SubsetStatus is the state of one subset of a traffic split; see [Balancer.Split].
type SubsetStatus struct {
	Filter discovery.Filter
	// Percent is the part of the calls that operators ask for, Share the part that the subset gets
	// now: more while others have no live instance, and 0 while it has none. If all are 0, calls go
	// to all instances.
	Percent, Share float64
	// Instances is the number of its instances that work now.
	Instances int
}

// Split returns how calls are split now, in the order of the filters; nil if they are not.
func (b *Balancer) Split() []SubsetStatus { return slices.Clone(b.set.Load().split) }

// SetSplit splits calls from now on, for balancers made with [New]; those made with [Follow] have
// the split of their service. Nil ends the split. An invalid split changes nothing; the error wraps
// [discovery.ErrInvalid]. SetSplit does not wait: the change takes effect within milliseconds.
func (b *Balancer) SetSplit(s discovery.Split) error {
	if err := s.Validate(); err != nil {
		return err
	}
	b.mu.Lock()
	same := maps.Equal(b.split, s)
	b.split = maps.Clone(s)
	b.mu.Unlock()
	if !same {
		b.wake()
	}
	return nil
}

// routes lead to the pools of a split.
type routes struct {
	asked []route // as operators ask
	live  []route // those with a pool, which share what the others have
}

// route ends at a place and begins where the one before ends; pool is nil if it has no live
// instance.
type route struct {
	end  uint64
	pool *pool
}

func (r *routes) pool(ctx context.Context, rnd *source) *pool {
	var place uint64
	if k, ok := ctx.Value(keyName{}).(*keyed); ok {
		place = mix(k.hash + gamma) // by another hash than on the ring
	} else {
		place = rnd.uint64()
	}
	if p := at(r.asked, place); p != nil {
		return p
	}
	return at(r.live, mix(place+gamma))
}

// at finds the route of a place. There are few routes.
func at(list []route, place uint64) *pool {
	for i := range list {
		if place <= list[i].end {
			return list[i].pool
		}
	}
	return list[len(list)-1].pool
}

// env finds the shared state of the choosers at a level of a pool; b.mu is held.
func (b *Balancer) env(f discovery.Filter, level int) *env {
	for len(b.envs[f]) <= level {
		e := &env{rnd: &b.rnd, total: &b.total}
		e.turn.Store(b.rnd.uint64() >> 1)
		b.envs[f] = append(b.envs[f], e)
	}
	return b.envs[f][level]
}

// part is the candidates of a pool, in the zones' order.
type part struct {
	filter  discovery.Filter // empty: all
	percent float64
	levels  [][]*node
}

// parts returns all candidates, and those of the subsets; b.mu is held.
func (b *Balancer) parts(cands []*node) (whole part, subsets []part) {
	cut := func(f discovery.Filter, percent float64, list []*node) part {
		levels := b.config.levels(list)
		for i, l := range levels {
			levels[i] = b.config.few(l)
		}
		return part{f, percent, levels}
	}
	maps.DeleteFunc(b.envs, func(f discovery.Filter, _ []*env) bool {
		_, ok := b.split[f]
		return f != "" && !ok
	})
	for _, f := range b.split.Filters() {
		subsets = append(subsets, cut(f, b.split[f], matching(cands, f)))
	}
	return cut("", 100, cands), subsets
}

func matching(list []*node, f discovery.Filter) (some []*node) {
	if f == "" {
		return list
	}
	for _, n := range list {
		if f.Matches(n.in.Load()) {
			some = append(some, n)
		}
	}
	return some
}

// routes returns the routes to the subsets, with their nodes, for a set; r is nil if no subset has
// a live instance. b.mu is held.
func (b *Balancer) routes(
	subsets []part,
	good func([]*node) []*node,
) (r *routes, nodes []*node, statuses []SubsetStatus) {
	r = new(routes)
	pools := make([]*pool, len(subsets))
	asked, live := 0.0, 0.0
	seen := make(map[*node]bool)
	for i, s := range subsets {
		var list []*node
		if s.percent == 0 { // only seen
			for _, l := range s.levels {
				list = append(list, good(l)...)
			}
			statuses = append(statuses, SubsetStatus{Filter: s.filter, Instances: len(list)})
			continue
		}
		pools[i], list = b.pool(s, good)
		asked += s.percent
		if pools[i] != nil {
			live += s.percent
		}
		statuses = append(statuses, SubsetStatus{Filter: s.filter, Percent: s.percent, Instances: len(list)})
		for _, n := range list {
			if !seen[n] { // subsets may overlap
				seen[n] = true
				nodes = append(nodes, n)
			}
		}
	}
	if live == 0 {
		return nil, nil, statuses
	}
	var toAsked, toLive float64
	for i, s := range subsets {
		if s.percent > 0 {
			toAsked += s.percent
			r.asked = append(r.asked, route{place(toAsked / asked), pools[i]})
		}
		if pools[i] != nil {
			toLive += s.percent
			statuses[i].Share = 100 * s.percent / live
			r.live = append(r.live, route{place(toLive / live), pools[i]})
		}
	}
	return r, nodes, statuses
}

// place returns a part of the range of places.
func place(part float64) uint64 {
	if part >= 1 {
		return math.MaxUint64
	}
	return uint64(part * (1 << 64))
}

// reportSplit calls the hooks if the parts of the subsets differ from the last report. It is called
// with b.making held.
func (b *Balancer) reportSplit(now []SubsetStatus) {
	same := slices.EqualFunc(b.reported, now, func(x, y SubsetStatus) bool {
		return x.Filter == y.Filter && x.Percent == y.Percent && x.Share == y.Share
	})
	if same {
		return
	}
	b.reported = now
	for _, h := range b.config.hooks {
		if h.Split != nil {
			h.Split(slices.Clone(now))
		}
	}
}
