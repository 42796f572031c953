// Package recipe has what processes need for coordination besides locks and elections: barriers,
// queues, a read-write lock, a semaphore, and a loop that runs a function on the leader.
// It has the API and keeps the keys of the official package of this name; its import path
// ends in "recipes".
//
// The official methods take no context and wait as long as the client lives; each has a
// sibling with "Context" in its name that takes one, and returns within 100 ms of its end.
// Keys that wait in line are put there by a session's Claim: they go with the session, and are
// cleaned up when a call gives up.
//
// All types are safe for concurrent use, except that an RWMutex, a [DoubleBarrier] and a
// Semaphore are each for one holder at a time; make one for each.
package recipe
