// Package recipe has tools for coordination besides locks and elections: barriers, queues, a
// read-write lock, a semaphore, and a loop that runs a function on the leader. Its API and keys are
// those of the official package of this name; its import path ends in "recipes".
//
// The official methods take no context and wait as long as the client lives. For each there is a
// method with "Context" in its name, which takes a context and returns within 100 ms of its end.
// The keys of those who wait belong to a session's Claim: they are deleted when the session ends or
// the call fails.
//
// All types are safe for concurrent use. But an [RWMutex], a [DoubleBarrier] and a [Semaphore] have
// one holder at a time; make one for each holder.
package recipe
