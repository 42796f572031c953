package check

import (
	"slices"
	"strings"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// ViewReport counts what the views of a service were judged by.
type ViewReport struct {
	Views, Held int // Held: instances shown in views although their record was gone
	Shown       int // in the last one
}

// Views checks the views that a follower of a service received. Each view has every instance whose
// record was there at the view's revision, with the last value that its owner gave it. No view has
// an instance that never was, and revisions never go back. A view may show an instance for a while
// after its record is gone, but the last view must equal what is stored: became says whether it
// does; nil means that the last view was not the end. The function means decodes a record.
func Views(
	views []history.View,
	truth *history.Truth,
	scope string,
	became *bool,
	means func(key, value string) (string, error),
) (ViewReport, []Violation) {
	r := ViewReport{Views: len(views)}
	var bad []Violation
	if became != nil && !*became {
		bad = append(bad, violation("view", "the last view did not become what is stored, or not all instances are"))
	}
	versions := make(map[string][]history.Event)
	for key, list := range truth.ByKey() {
		if !strings.HasPrefix(key, scope) {
			continue
		}
		list = slices.Clone(list)
		for i := range list {
			var err error
			if list[i].Delete {
				continue
			}
			if list[i].Value, err = means(key, list[i].Value); err != nil {
				return r, []Violation{violation("view", "%s is no record: %v", key, err)}
			}
		}
		versions[key] = list
	}
	rev := int64(0)
	for i, v := range views {
		last := i == len(views)-1 && became != nil
		if v.Rev < rev || v.Rev > truth.Last {
			bad = append(
				bad,
				violation("view", "at %s a view of revision %d follows one of %d", clock(v.At), v.Rev, rev),
			)
		}
		rev = v.Rev
		shown := make(map[string]string)
		for _, kv := range v.Shown {
			shown[kv.Key] = kv.Value
			if versions[kv.Key] == nil {
				bad = append(bad, violation("view", "at %s %s is shown, which never was", clock(v.At), kv.Key))
			}
		}
		there := 0
		for key, list := range versions {
			value, is := valueAt(list, v.Rev)
			got, has := shown[key]
			if !is {
				continue
			}
			there++
			if !has || got != value {
				bad = append(
					bad,
					violation(
						"view",
						"at %s, as of revision %d, %s is shown as %q (%v), not as %q",
						clock(v.At),
						v.Rev,
						key,
						got,
						has,
						value,
					),
				)
			}
		}
		r.Held += len(shown) - there
		if last {
			r.Shown = len(shown)
			if len(shown) != there {
				bad = append(
					bad,
					violation("view", "the last view shows %d instances, %d are there", len(shown), there),
				)
			}
		}
	}
	return r, bad
}
