package check

import (
	"strings"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// CopyReport counts what a copy was judged by.
type CopyReport struct{ Keys, Changes int }

// Copies checks a mirror of one prefix under another. At the end it has the keys and values that
// the source had at revision final; 0: the end is not judged. It may have later ones, as of a write
// whose caller had left, and which was executed when the mirror was about to end. On the way each
// of its keys took values of its source in their order, never going back. Values are unique, and a
// mirror may leave out some that were soon replaced.
func Copies(truth *history.Truth, from, to string, final int64) (CopyReport, []Violation) {
	var r CopyReport
	var bad []Violation
	versions := truth.ByKey()
	for key, source := range versions {
		name, ok := strings.CutPrefix(key, from)
		if !ok {
			continue
		}
		r.Keys++
		copied := versions[to+name]
		r.Changes += len(copied)
		at := 0 // index into source of the change that the copy shows
		for _, e := range copied {
			i := at
			for i < len(source) &&
				(source[i].Delete != e.Delete || source[i].Value != e.Value || source[i].Rev > e.Rev) {
				i++
			}
			if i == len(source) {
				bad = append(bad,
					violation("copy", "%s is no change of %s from revision %d on", event(e), key, source[at].Rev))
				break
			}
			at = i
		}
		was, had := valueAt(copied, truth.Last)
		if is, ok := shows(source, final, was, had); final > 0 && !ok {
			bad = append(bad, violation("copy", "at revision %d %s is %q, its copy at the end %q", final, key, is, was))
		}
	}
	for key := range versions {
		if name, ok := strings.CutPrefix(key, to); ok && versions[from+name] == nil {
			bad = append(bad, violation("copy", "%s is a copy of nothing", key))
		}
	}
	return r, bad
}

// shows reports whether a key had a value, or did not exist, at revision final or later. It returns
// the value that it had then.
func shows(versions []history.Event, final int64, value string, exists bool) (is string, ok bool) {
	is, has := valueAt(versions, final)
	if has == exists && is == value {
		return is, true
	}
	for _, e := range versions {
		if e.Rev > final && e.Delete != exists && (e.Delete || e.Value == value) {
			return is, true
		}
	}
	return is, false
}

func valueAt(versions []history.Event, rev int64) (string, bool) {
	e, ok := at(versions, rev)
	return e.Value, ok
}
