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
//   - [Random]: at random, in proportion to weights.
//   - [Weighted]: in turn, in proportion to weights, the turns of each instance spread out.
//   - [P2C]: the first of two drawn by weight, unless latency and calls under way make it cost
//     twice as much.
//   - [LeastOutstanding]: the fewest calls under way for its weight, among a few.
//   - [Hash]: calls with the same key ([WithKey]) to the same instance, unless that has more than
//     its share of the calls under way. When an instance comes or goes, a few keys of the others
//     move too, up to 3 in 100.
//
// # Which instances are chosen from
//
// A balancer chooses among the instances of the view that do not drain. [WithSubset] takes a few of
// them, different ones in each client; [WithZone] prefers nearby instances, zone by zone in an
// order. An instance that fails several calls in a row is ejected for a while ([WithEjection], on
// by default). With [WithWarmUp] an instance that appears later than the first gets its full share
// only after a while.
//
// # Splits and filters
//
// Operators split calls between subsets of a service's instances, say 95 percent to version v1 and
// 5 to v2 ([discovery.Split], "fairlead svc split orders v1=95 v2=5"). Balancers made with [Follow]
// apply the split at once; others get it by [Balancer.SetSplit]. For each call a subset is drawn,
// and the policy chooses within it. Calls with the same key ([WithKey]) go to the same subset,
// whatever the policy. Instances that belong to no subset get nothing. A subset without an instance
// that is up and not ejected gives its part to the others; if there is no other, calls go to all
// instances. [Balancer.Split] and [Hooks.Split] report that. [WithFilter] takes some instances
// only, by version, tag or metadata; [Balancer.PickMatching] does so for one call, whatever the
// split.
//
// # Silence
//
// A frozen instance leaves calls without an answer. One call that waited in vain ([Unanswered], or
// [TimedOut] after a second and more) ejects it at once if it answered nothing in the second half
// of that wait. If it did answer, it gets no new call until one under way is answered, for
// [Ejection.Base] at most. A call with a kind ([Done.Kind]) counts as TimedOut only if its kind is
// usually answered sooner, so one slow method discredits no instance.
//
// A call of a kind that is usually answered within a third of a second counts while it still waits,
// however long its deadline is. An instance that has answered nothing for a second while such calls
// waited gets no new ones, until it answers one of them or [Ejection.Base] is over; then it gets
// one to try. If it answers that one while the others still wait, they are taken for slow, and it
// gets its share for ten minutes, whatever calls wait. If all instances are like this, all are
// called.
//
// All this needs a policy that looks at latency, or [WithLatency].
//
// # Cost
//
// A pick takes no lock, allocates nothing and, for any policy, costs the same for three instances
// and for thousands. The data that a pick reads is built anew after a change, about once in 10 ms
// at most, and for no more than a twentieth of a processor's time.
//
// # Concurrency
//
// All methods are safe for concurrent use. Report each [Done] that Pick returned once. With
// [WithSeed], picks of one goroutine are the same in each run. Time is the runtime's, so tests may
// use testing/synctest.
package pick
