package discovery

import (
	"iter"
	"maps"
	"slices"

	"github.com/tidwall/btree"
)

// View is the set of a service's instances as of one revision. It never changes; making
// one costs little, since it shares what has not changed with the views before. All
// methods are safe for concurrent use.
type View struct {
	service  string
	cluster  string
	revision int64
	tree     *btree.Map[string, *Instance] // by key in etcd; never written
	draining int
	split    Split // never written
	limits   Limits
}

// Service is whose instances these are.
func (v *View) Service() string { return v.service }

// Cluster is the name of the cluster whose instances these are; empty for the first, see
// [WithFallback].
func (v *View) Cluster() string { return v.cluster }

// Revision is the store's revision as of which the view is right, 0 for one from a file.
func (v *View) Revision() int64 { return v.revision }

// Len is the number of instances, draining ones included.
func (v *View) Len() int { return v.tree.Len() }

// Draining is how many of them are draining.
func (v *View) Draining() int { return v.draining }

// Split is how operators want calls to be split between the instances; empty for not at all.
func (v *View) Split() Split { return maps.Clone(v.split) }

// Limits are what operators ask clients to keep to; zero for nothing.
func (v *View) Limits() Limits { return v.limits }

// At is the instance at a position from 0 to Len()-1, in the order of their keys.
func (v *View) At(i int) *Instance {
	_, in, _ := v.tree.GetAt(i)
	return in
}

// All are the instances in the order of their keys.
func (v *View) All() iter.Seq[*Instance] {
	return func(yield func(*Instance) bool) {
		v.tree.Scan(func(_ string, in *Instance) bool { return yield(in) })
	}
}

// Get finds an instance by its id, which takes longer the more there are; nil if there is
// none.
func (v *View) Get(id string) *Instance {
	for in := range v.All() {
		if in.ID == id {
			return in
		}
	}
	return nil
}

// Instances are all instances, in the order of their keys.
func (v *View) Instances() []*Instance { return slices.Collect(v.All()) }
