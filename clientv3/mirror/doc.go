// Package mirror copies the keys of one cluster to another and keeps the copy up to
// date.
//
// Run does all of it: it compares both sides, follows the source, and continues after any
// interruption. A Syncer only delivers the source's keys and their changes, for programs that write
// elsewhere.
//
// # What Run promises
//
// The target's keys are those of the source at a recent revision, whatever happens to connections,
// members and the mirror itself. Changes of one source revision are applied in one transaction of
// the target if they fit (127 changes, 1 MiB); more are split.
//
// One key of the target, the checkpoint, says how far the target is. It is written in the
// transaction that applies the changes, which is also guarded by it: a write that was thought lost
// and arrives late does nothing, and two mirrors with one target notice each other ([ErrConflict]).
// Values that nearly fill what the target takes in one request (1.5 MiB by default) go before it:
// where some 400 bytes are missing for the checkpoint, in a transaction that is guarded by it, and
// where there is no room for the guard either, by themselves. Only a value written by itself may,
// if its write was thought lost and its key changed again, arrive late and stay until the next
// comparison. A key whose name is longer in the target than in the source can be too large; Run
// then fails and names it. With etcd's authentication the user needs permission for the checkpoint
// too.
//
// A mirror that finds its checkpoint continues from there. The checkpoint holds the newest put that
// was copied, and the source is asked for it first. If the source has compacted its revision, or
// has another history now, as after a restore from a backup, the mirror compares both sides again
// and deletes keys that the source does not have. So it does if it has stopped for longer than the
// source keeps its history, counted from the last put of a key that it copies.
//
// Source and target may be prefixes of one cluster that do not overlap. What counts are the keys as
// etcd has them, in whatever namespaces the clients are. So long as the client of a side has the KV
// of package clientv3 below its wrappers, and these pass on the contexts of calls, Run knows these
// keys; else it compares the names that the client uses.
//
// Nobody else may write under the target prefix: the mirror undoes such writes only at its next
// comparison.
//
// Everything here is safe for concurrent use, except that a Syncer has one consumer.
package mirror
