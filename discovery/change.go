package discovery

import (
	"maps"
	"time"
)

// changeset is a group of changes to a feed that become visible together.
type changeset struct {
	f    *feed
	now  time.Time
	list []step
	// kept: this instance is the first of several that vanished together, and was kept.
	kept bool
}

// step is what happened to one key; before or after is nil for a key that came or went.
type step struct {
	key           string
	before, after *Instance
}

func (f *feed) begin() *changeset { return &changeset{f: f, now: time.Now()} }

func (c *changeset) put(key string, in *Instance) {
	if c.f.guard.registered(key, c.now) {
		c.drop(twinKey(key))
	}
	c.replace(key, in)
}

// replace shows an instance in place of the present one.
func (c *changeset) replace(key string, in *Instance) {
	before, _ := c.f.tree.Get(key)
	if in = c.f.shown(key, in); !before.Equal(in) {
		c.set(key, before, in)
	}
}

// remove takes an instance out, unless it is protected.
func (c *changeset) remove(key string) {
	in, ok := c.f.tree.Get(key)
	if !ok || c.dropTwin(key) {
		return
	}
	if keep, first := c.f.guard.keeps(key, in, c.f.tree.Len(), c.now); keep {
		c.kept = c.kept || first
		return
	}
	c.drop(key)
}

// drop removes an instance.
func (c *changeset) drop(key string) {
	if before, ok := c.f.tree.Get(key); ok {
		c.set(key, before, nil)
	}
}

func (c *changeset) set(key string, before, after *Instance) {
	f := c.f
	if before != nil && before.IsDraining() {
		f.drains--
	}
	if after != nil && after.IsDraining() {
		f.drains++
	}
	f.mu.Lock() // views are copies, but making one marks the nodes of the tree
	if after == nil {
		f.tree.Delete(key)
		delete(f.plain, key)
	} else {
		f.tree.Set(key, after)
	}
	f.mu.Unlock()
	c.list = append(c.list, step{key, before, after})
}

// publish makes a view of the tree as of a revision and notifies the subscriptions. The view is
// stale unless etcd has just confirmed it and nothing is held.
func (c *changeset) publish(rev int64, stale bool) {
	c.show(rev, stale)
	if c.kept { // after the view is published, so that the problem's receiver sees the rest
		c.f.problem("", errProtected)
	}
}

func (c *changeset) show(rev int64, stale bool) {
	f := c.f
	old := f.view.Load()
	first := old == nil
	resaid := !first && (!maps.Equal(old.split, f.control.Split) || old.limits != f.control.Limits)
	stale = stale || f.guard.count[held] > 0
	history := 0
	if !first {
		history = old.history
		if rev < old.revision {
			history++
			defer f.acknowledge() // what was announced is of the other history
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.view.Store(
		&View{
			service:  f.service,
			cluster:  f.cluster.name,
			revision: rev,
			history:  history,
			tree:     f.tree.Copy(),
			draining: f.drains,
			split:    f.control.Split,
			limits:   f.control.Limits,
		},
	)
	if !stale || first {
		f.asOf.Store(int64(c.now.Sub(f.epoch)))
	}
	if f.store != nil && (len(c.list) > 0 || first || resaid) {
		f.store.dirty.Store(true)
	}
	was := f.stale
	f.stale = stale
	for t := range f.subs {
		t.note(c.list)
		if !first && history != old.history {
			t.forget(rev)
		}
		if !first && len(c.list) == 0 {
			t.same(old.revision, rev)
		}
		if first || was != stale || len(c.list) > 0 || resaid {
			t.s.poke()
		}
	}
	if first {
		f.of.said()
	}
}
