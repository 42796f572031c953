package check

import (
	"slices"
	"strings"
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// Order checks the operations against the revisions that the server gave. It does so over all keys
// at once, which linearizability per key does not:
//
//   - every acknowledged write is in the truth, at the revision of its response, with all its keys
//     at that one revision; a write that certainly failed is not; none is there twice;
//   - every read, also of a range and also one that may be old, found exactly what the store held
//     at its revision;
//   - revisions follow the clocks: an operation that was called after another had returned has no
//     lower revision, and a write has a higher one. Reads that may be old are exempt.
func Order(ops []history.Op, truth *history.Truth) []Violation {
	w, bad := writtenBy(truth)
	versions := truth.ByKey()
	for i := range ops {
		o := &ops[i]
		if o.Kind.Writes() {
			bad = append(bad, writes(o, w)...)
		}
		if o.Outcome == history.OK {
			bad = append(bad, reads(o, truth, versions)...)
		}
	}
	return append(bad, clocks(ops)...)
}

func writes(o *history.Op, w written) (bad []Violation) {
	keys := o.Keys
	if o.Kind == history.Delete {
		keys = o.Keys[1:]
	}
	for _, k := range keys {
		rev := w[[2]string{k, o.Value}]
		switch {
		case o.Outcome == history.Failed && rev != 0:
			bad = append(
				bad,
				violation("order", "a write that failed for certain was executed at revision %d: %s", rev, describe(o)),
			)
		case o.Outcome == history.Unknown && rev != w.rev(o):
			bad = append(bad, violation("order", "a transaction was executed in parts: %s", describe(o)))
		case o.Outcome != history.OK:
		case o.Kind == history.CAS && !o.Applied:
			if rev != 0 {
				bad = append(
					bad,
					violation(
						"order",
						"a transaction whose answer was that it did not apply did at revision %d: %s",
						rev,
						describe(o),
					),
				)
			}
		case rev == 0:
			bad = append(bad, violation("order", "an acknowledged write is lost: %s", describe(o)))
		case rev != o.Rev:
			bad = append(
				bad,
				violation("order", "a write was executed at revision %d, not as acknowledged: %s", rev, describe(o)),
			)
		}
	}
	return bad
}

// at returns the change that gave a key its value at a revision, and whether the key was present
// then.
func at(versions []history.Event, rev int64) (history.Event, bool) {
	i, found := slices.BinarySearchFunc(versions, rev, func(e history.Event, r int64) int { return int(e.Rev - r) })
	if !found {
		i--
	}
	if i < 0 || versions[i].Delete {
		return history.Event{}, false
	}
	return versions[i], true
}

func reads(o *history.Op, truth *history.Truth, versions map[string][]history.Event) []Violation {
	var want []history.KV
	rev := o.Rev
	switch {
	case o.Rev > truth.Last:
		return []Violation{
			violation("order", "revision %d is beyond the last one, %d: %s", o.Rev, truth.Last, describe(o)),
		}
	case o.Kind == history.Delete:
		rev-- // the response shows what was there before
		// A delete of nothing still writes its marker, so rev-1 is right there too.
	case o.Kind == history.CAS && o.Applied, o.Kind == history.Put, o.Kind == history.PutAll:
		return nil
	}
	if o.Kind == history.Range {
		for k, v := range versions {
			if e, ok := at(v, rev); ok && strings.HasPrefix(k, o.Keys[0]) {
				want = append(want, history.KV{Key: k, Value: e.Value, ModRev: e.Rev})
			}
		}
		slices.SortFunc(want, func(a, b history.KV) int { return strings.Compare(a.Key, b.Key) })
	} else if e, ok := at(versions[o.Keys[0]], rev); ok {
		want = append(want, history.KV{Key: e.Key, Value: e.Value, ModRev: e.Rev})
	}
	if !slices.Equal(want, o.Saw) {
		return []Violation{violation("order", "revision %d held %s, but: %s", rev, found(want), describe(o))}
	}
	return nil
}

// clocks goes through calls and returns by time, and keeps the operation with the highest revision
// that has returned.
func clocks(ops []history.Op) (bad []Violation) {
	type moment struct {
		at   time.Duration
		call bool
		op   *history.Op
	}
	var list []moment
	for i := range ops {
		if o := &ops[i]; o.Outcome == history.OK && !o.Serializable {
			list = append(list, moment{o.Call, true, o}, moment{o.Return, false, o})
		}
	}
	// A call at the very time of a return is concurrent with it.
	slices.SortStableFunc(list, func(a, b moment) int {
		switch {
		case a.at != b.at:
			return int(a.at - b.at)
		case a.call == b.call:
			return 0
		case a.call:
			return -1
		}
		return 1
	})
	var last *history.Op
	after := make(map[int]*history.Op)
	for _, m := range list {
		o := m.op
		if m.call {
			after[o.ID] = last
			continue
		}
		if p := after[o.ID]; p != nil {
			fresh := o.Kind.Writes() && (o.Kind != history.CAS || o.Applied)
			if o.Rev < p.Rev || fresh && o.Rev == p.Rev {
				bad = append(
					bad,
					violation("order", "revisions contradict the clocks:\n    %s\n    %s", describe(p), describe(o)),
				)
			}
		}
		if last == nil || o.Rev > last.Rev {
			last = o
		}
	}
	return bad
}

// Whole checks that the truth is complete: every revision from First to Last is there.
func Whole(t *history.Truth) []Violation {
	next := t.First
	for _, e := range t.Events {
		switch e.Rev {
		case next - 1:
		case next:
			next++
		default:
			return []Violation{violation("truth", "the recorded history goes from revision %d to %s", next-1, event(e))}
		}
	}
	if next-1 != t.Last {
		return []Violation{violation("truth", "the recorded history ends at revision %d instead of %d", next-1, t.Last)}
	}
	return nil
}

// Recovered checks that every client that made calls works again after all faults have ended:
// after healed, at least one of its reads and one of its writes succeeded.
func Recovered(ops []history.Op, healed time.Duration) (bad []Violation) {
	type success struct{ read, write bool }
	clients := make(map[int]*success)
	var order []int
	for i := range ops {
		o := &ops[i]
		s := clients[o.Client]
		if s == nil {
			s = &success{}
			clients[o.Client], order = s, append(order, o.Client)
		}
		if o.Call > healed && o.Outcome == history.OK && !o.Serializable {
			s.read, s.write = s.read || !o.Kind.Writes(), s.write || o.Kind.Writes()
		}
	}
	for _, c := range order {
		if s := clients[c]; !s.read || !s.write {
			bad = append(
				bad,
				violation(
					"recovered",
					"client %d had no success after everything was healed at %s (reads: %v, writes: %v)",
					c,
					clock(healed),
					s.read,
					s.write,
				),
			)
		}
	}
	return bad
}
