package discovery

import (
	"iter"
	"maps"
	"slices"

	"github.com/tidwall/btree"
)

// View is the set of a service's instances as of one revision. It never changes; making one costs
// little, since it shares unchanged parts with the views before. All methods are safe for
// concurrent use.
type View struct {
	service  string
	cluster  string
	revision int64
	history  int                           // how often revisions have begun anew, since etcd was wiped or restored
	tree     *btree.Map[string, *Instance] // by key in etcd; never written
	draining int
	split    Split // never written
	limits   Limits
}

// Service returns the name of the service.
func (v *View) Service() string { return v.service }

// Cluster returns the name of the cluster of the instances, empty for the first; see
// [WithFallback].
func (v *View) Cluster() string { return v.cluster }

// Revision returns the store's revision as of which the view is right, 0 for a view from a file.
func (v *View) Revision() int64 { return v.revision }

// Len is the number of instances, draining ones included.
func (v *View) Len() int { return v.tree.Len() }

// Draining is the number of draining instances.
func (v *View) Draining() int { return v.draining }

// Split returns how operators divide calls between the instances, empty if they do not.
func (v *View) Split() Split { return maps.Clone(v.split) }

// Limits returns the operators' limits for clients, zero if there are none.
func (v *View) Limits() Limits { return v.limits }

// At returns the instance at a position from 0 to Len()-1, in the order of their keys.
func (v *View) At(i int) *Instance {
	_, in, _ := v.tree.GetAt(i)
	return in
}

// All returns the instances in the order of their keys.
func (v *View) All() iter.Seq[*Instance] {
	return func(yield func(*Instance) bool) {
		v.tree.Scan(func(_ string, in *Instance) bool { return yield(in) })
	}
}

// Get finds an instance by its id, nil if there is none. It takes longer the more instances there
// are.
func (v *View) Get(id string) *Instance {
	for in := range v.All() {
		if in.ID == id {
			return in
		}
	}
	return nil
}

// Instances returns all instances, in the order of their keys.
func (v *View) Instances() []*Instance { return slices.Collect(v.All()) }
