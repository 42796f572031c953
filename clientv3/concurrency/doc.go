// Package concurrency provides sessions, locks, elections and transactional memory on top of etcd.
// It has the API of the official package of this name and puts the same keys, so processes with
// either package contend for the same locks.
//
// # Ownership
//
// To get a lock, or to lead, a process puts a key under the prefix, attached to the lease of its
// [Session]. The key with the lowest create revision owns, the others wait in that order. Ownership
// ends when the key does: by [Mutex.Unlock] or [Election.Resign], with the session, or because
// another client deleted the key. A process learns of each:
//
//   - the session's end is known before the server can give its keys to anyone else
//     ([v3.Lease] counts from the sending of the last acknowledged renewal);
//   - an owner watches its own key. When anyone deletes it, or revokes its lease, the
//     owner knows within one round trip; see [Mutex.Context] and [Session.Done].
//
// Between the loss and the news of it, two processes may both believe that they own. If that could
// do harm, use the fencing token ([Mutex.Fence], [Election.Fence]: the create revision of the
// owner's key, which only grows from owner to owner), or [Guard], which makes a transaction succeed
// only while its owner owns.
//
// [Claim] is the building block: a key in line. The recipes in
// [github.com/fairlead-go/fairlead/clientv3/experimental/recipes] are made of it, and programs can
// build their own.
//
// # Outcome unknown
//
// All blocking calls return within 100 ms of their context's end, whatever the cluster
// does. The session cleans up behind them in the background until it ends: it deletes a
// key that must go as soon as a member answers, and a key that a request without an
// answer creates later, even minutes later, when it appears.
//
// # Concurrency
//
// Sessions are safe for concurrent use, and so are the methods of [Mutex] and [Election], but a
// Mutex is for one owner: a second Lock of a locked mutex succeeds. So do two mutexes of one
// session with the same prefix, as in the official package, unless the session was made
// [WithDistinctOwners].
package concurrency
