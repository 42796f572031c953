// Package pick chooses the instance of a service that gets the next call.
//
//	b := pick.Follow(subscription, pick.P2C())
//	defer b.Close()
//	in, done, err := b.Pick(ctx)
//	if err != nil {
//		return err
//	}
//	err = call(in.Addresses[0])
//	done.ReportErr(err)
//
// # Policies
//
//   - [RoundRobin]: one after the other, whatever their weights.
//   - Random: at random, in proportion to weights.
//   - Weighted: in turn, in proportion to weights, each one's turns spread out.
//   - P2C: of two drawn by weight the first, unless latency and calls under way make it cost twice
//     as much.
//   - [LeastOutstanding]: the fewest calls under way for its weight, among a few.
//   - Hash: calls with the same key ([WithKey]) to the same instance, unless that has more
//     than its share of the calls under way. When an instance comes or goes, a few keys of the
//     others move too, up to 3 in 100.
//
// # Which instances are chosen from
//
// Those of the view, without the ones that drain. [WithSubset] takes a few of them, other ones in
// each client; [WithZone] prefers those nearby, zone by zone in an order. One that fails several
// calls in a row is ejected for a while ([WithEjection], on by default), and one that appears later
// than the first gets its full share only after a while with [WithWarmUp].
//
// # Splits and filters
//
// Operators split calls between subsets of a service's instances, 95 percent to version v1 and 5 to
// v2 say (discovery.Split, "fairlead svc split orders v1=95 v2=5"); balancers made with Follow go
// by that at once, others with SetSplit. A subset is drawn for each call, and the policy chooses
// within it. Calls with the same key ([WithKey]) go to the same subset, whatever the policy.
// Instances that belong to no subset get nothing. A subset all of whose instances are gone,
// draining or ejected gives its part to the others; if there is no other, calls go to all
// instances: Split and [Hooks.Split] tell. [WithFilter] takes some instances only, by version, tag
// or metadata; PickMatching does so for one call, past the split.
//
// # Silence
//
// An instance that stands still leaves calls without an answer. One call that waited in vain,
// Unanswered or [TimedOut] after a second and more, ejects it at once if it answered nothing in the
// second half of that wait; if it did, it gets no new call until one under way is answered, for
// [Ejection.Base] at most. A call with a kind ([Done.Kind]) counts as [TimedOut] only if its kind
// is answered sooner: one slow method blames no instance. All that takes a policy that looks at
// latency, or [WithLatency].
//
// # Cost
//
// A pick takes no lock, allocates nothing and, for any policy, costs the same for three
// instances and for thousands. What a pick looks at is built anew when something changes,
// about once in 10 ms at most, and for no more than a twentieth of a processor's time.
//
// # Concurrency
//
// All methods are safe for concurrent use. Each Done that Pick returned is reported once.
// With [WithSeed], picks of one goroutine are the same in each run. Time is the runtime's, so
// tests may use testing/synctest.
package pick
