package check

import (
	"fmt"
	"slices"
	"time"

	"github.com/fairlead-go/fairlead/chaos/history"
)

// OwnerReport says how locks and leaderships went.
type OwnerReport struct {
	Holds, Lost int
	Meddled     int // ended by an operator
	Counted     int // guarded writes that were acknowledged
	Early       int // losses that no client could know of in advance; see early
	// Lag is the longest that an owner believed in its ownership after the next one had it. It is
	// negative if that never happened.
	Lag time.Duration
}

// Owners checks what locks and elections promise, per scope:
//
//   - an owner knows that it has lost before the next one owns, unless an operator deleted its
//     key: of that it learns afterwards, see [Live];
//   - fencing tokens are the revisions at which the owners' keys were put, and each belongs to one
//     owner;
//   - the counter that owners guard with their ownership never goes back: no write of an owner
//     comes after one of the next, and none is there twice;
//   - an owner whose session is alive loses its key only to an operator;
//   - no key is left in the way at the end.
func Owners(
	holds []history.Hold,
	truth *history.Truth,
	touches []history.Touch,
	meddlings []history.Meddling,
	late history.Lateness,
	counter func(scope string) string,
	end time.Duration,
) (OwnerReport, []Violation) {
	var r OwnerReport
	var bad []Violation
	byKey := truth.ByKey()
	byScope := make(map[string][]history.Hold)
	for _, h := range holds {
		r.Holds++
		r.Counted += h.Counted
		if h.Lost {
			r.Lost++
		}
		byScope[h.Scope] = append(byScope[h.Scope], h)
		if gone, ok := goneAfter(byKey[h.Key], h.Fence); h.Outlived &&
			(!ok || !meddled(meddlings, h.Key, h.Lease, gone)) {
			bad = append(bad,
				violation("owner", "%s was lost, though no operator deleted its key and its session lived on", hold(h)))
		}
		if !slices.ContainsFunc(byKey[h.Key], func(e history.Event) bool { return e.Rev == h.Fence && !e.Delete }) {
			bad = append(bad, violation("owner", "%s: nobody put a key at its fence", hold(h)))
		}
	}
	r.Lag = -end
	for scope, list := range byScope {
		slices.SortFunc(list, func(a, b history.Hold) int { return int(a.Fence - b.Fence) })
		for i := 1; i < len(list); i++ {
			was, is := list[i-1], list[i]
			if was.Fence == is.Fence {
				bad = append(bad, violation("owner", "%s and %s: the same fence", hold(was), hold(is)))
			}
			lag := was.Ended - is.Acquired
			gone, ok := goneAfter(byKey[was.Key], was.Fence)
			if ok && meddled(meddlings, was.Key, was.Lease, gone) {
				r.Meddled++
				continue
			}
			if ok && lag > 0 && early(&history.Lease{LastAck: was.LastAck, TTL: was.TTL}, gone, touches) {
				r.Early++
				continue
			}
			r.Lag = max(r.Lag, lag)
			if allowed := wakeup + late.Max(is.Acquired, was.Ended); lag > allowed {
				bad = append(
					bad,
					violation(
						"owner",
						"%s and %s: the first believed to own for %v longer (allowed: %v); its session was last "+
							"renewed at %s",
						hold(was),
						hold(is),
						lag,
						allowed,
						clock(was.LastAck),
					),
				)
			}
		}
		bad = append(bad, counts(byKey[counter(scope)])...)
	}
	return r, bad
}

func hold(h history.Hold) string {
	return fmt.Sprintf(
		"%s of client %d (%s, fence %d, %s..%s)",
		h.Scope,
		h.Client,
		h.Key,
		h.Fence,
		clock(h.Acquired),
		clock(h.Ended),
	)
}

// goneAfter finds the deletion of a key that was put at that revision.
func goneAfter(versions []history.Event, fence int64) (history.Event, bool) {
	for _, e := range versions {
		if e.Rev > fence && e.Delete {
			return e, true
		}
	}
	return history.Event{}, false
}

// counts checks the versions of a guarded counter, "fence number" each.
func counts(versions []history.Event) (bad []Violation) {
	var fence, number int64
	for _, e := range versions {
		var f, n int64
		if _, err := fmt.Sscanf(e.Value, "%d %d", &f, &n); err != nil {
			bad = append(bad, violation("owner", "%s: not a count", event(e)))
			continue
		}
		if f < fence || f == fence && n <= number {
			bad = append(bad, violation("owner", "%s: after %d %d", event(e), fence, number))
		}
		fence, number = f, n
	}
	return bad
}

// Free checks that no owner's key is left once all sessions have ended.
func Free(truth *history.Truth, scope string, counter func(key string) bool) (bad []Violation) {
	for key, versions := range truth.ByKey() {
		if last := versions[len(versions)-1]; history.Covers(scope, key) && !counter(key) && !last.Delete {
			bad = append(bad, violation("owner", "%s is left", event(last)))
		}
	}
	return bad
}
