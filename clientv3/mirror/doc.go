// Package mirror copies the keys of one cluster to another and keeps the copy up to
// date.
//
// Run does all of it: it compares both sides, follows the source, and goes on where
// it was after any interruption. A Syncer only delivers what the source holds and how
// it changes, for programs that write elsewhere.
//
// # What Run promises
//
// The target's keys are those of the source at some revision, a moment ago, whatever
// happens to connections, members and the mirror itself in between. Changes of one
// source revision are applied in one transaction of the target as far as a transaction
// holds them (127 changes, 1 MiB); a greater one is split.
//
// One key of the target, the checkpoint, says how far the target is. It is written
// in the transaction that applies the changes, which is also guarded by it: a write
// that was thought lost and arrives late does nothing, and two mirrors with one target
// notice each other ([ErrConflict]). Values that nearly fill what the target takes in one request
// (1.5 MiB by default) go before it: where some 150 bytes are missing for the checkpoint, in a
// transaction that is guarded by it, and where there is no room for the guard either, by
// themselves. Only a value written by itself may, if its write was thought lost and its key changed
// again, arrive late and stay until the next comparison. A key whose name is longer in the target
// than in the source can be too large; Run fails then, and names it. A mirror that finds its
// checkpoint goes on from there; if the source has compacted that revision, or was restored from a
// backup, it compares both sides again and removes what is gone. With etcd's authentication the
// user needs permission for the checkpoint too.
//
// Nobody else may write under the target prefix; such writes are undone only at the next
// comparison.
//
// Everything here is safe for concurrent use, except that a Syncer is for one
// consumer.
package mirror
