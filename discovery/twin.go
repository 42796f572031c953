package discovery

// A restored etcd may have an older record under the key of a living instance, with other
// addresses: that of an earlier run, which has ended since the backup. The instance cannot register
// before the lease of that record has ended, since it never overwrites the record of another
// process. Which of the two lives the view cannot know (etcd may have been wiped, and the instance
// have been started anew), so for that time it has both: the instance that it knew stays under its
// key, held by the guard, and the one that etcd has is its twin, under a key that etcd does not
// have.

import (
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// twinMark ends the key of a twin. No format makes such keys.
const twinMark = "\x00twin"

func twinKey(key string) string { return key + twinMark }

func isTwin(key string) bool { return strings.HasSuffix(key, twinMark) }

// older reports whether a listed record replaces an instance of the view by another one, although
// the view is newer: then etcd has another history.
func (f *feed) older(kv *mvccpb.KeyValue, in *Instance) bool {
	v := f.view.Load()
	if v == nil || kv.ModRevision > v.revision {
		return false
	}
	was, ok := f.tree.Get(string(kv.Key))
	return ok && !slices.Equal(was.Addresses, in.Addresses)
}

// doubt makes older records the twins of the instances that the view has, if these are held, and
// removes them from the found ones.
func (c *changeset) doubt(keys []string, found map[string]*Instance) {
	for _, key := range c.f.tree.Keys() {
		if isTwin(key) { // of an earlier listing
			c.drop(key)
		}
	}
	if len(keys) == 0 || c.f.guard.hold == 0 {
		return
	}
	c.f.guard.restored(c.now)
	for _, key := range keys {
		c.remove(key)
		if _, held := c.f.tree.Get(key); held {
			c.replace(twinKey(key), found[key])
			delete(found, key)
		}
	}
}

// dropTwin removes the twin of an instance, and reports whether there was one.
func (c *changeset) dropTwin(key string) bool {
	if c.f.guard.count[held] == 0 {
		return false
	}
	_, ok := c.f.tree.Get(twinKey(key))
	c.drop(twinKey(key))
	return ok
}

// release ends the hold of an instance: what etcd has is shown, if anything.
func (c *changeset) release(key string) {
	twin, ok := c.f.tree.Get(twinKey(key))
	if !ok {
		c.drop(key)
		return
	}
	if plain := c.f.plain[twinKey(key)]; plain != nil {
		twin = plain
	}
	c.drop(twinKey(key))
	c.replace(key, twin)
}

// twinOf returns the instance whose twin has a key, nil if there is none.
func (v *View) twinOf(key string) *Instance {
	of, is := strings.CutSuffix(key, twinMark)
	if !is {
		return nil
	}
	in, _ := v.tree.Get(of)
	return in
}
