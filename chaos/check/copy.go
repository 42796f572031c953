package check

import (
	"strings"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// CopyReport counts what a copy was judged by.
type CopyReport struct{ Keys, Changes int }

// Copies checks a mirror of one prefix under another. At the end it has the same keys with the
// same values. On the way each of its keys took values of its source in their order, never going
// back. Values are unique, and a mirror may leave out some that were soon replaced. The end is not
// judged unless last is set.
func Copies(truth *history.Truth, from, to string, last bool) (CopyReport, []Violation) {
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
		is, has := valueAt(source, truth.Last)
		was, had := valueAt(copied, truth.Last)
		if last && (has != had || is != was) {
			bad = append(bad, violation("copy", "at the end %s is %q, its copy %q", key, is, was))
		}
	}
	for key := range versions {
		if name, ok := strings.CutPrefix(key, to); ok && versions[from+name] == nil {
			bad = append(bad, violation("copy", "%s is a copy of nothing", key))
		}
	}
	return r, bad
}

func valueAt(versions []history.Event, rev int64) (string, bool) {
	e, ok := at(versions, rev)
	return e.Value, ok
}
