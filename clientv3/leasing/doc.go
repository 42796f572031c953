// Package leasing serves linearizable reads from memory. A process that reads a key takes
// ownership of it, and then answers reads of it by itself until another process wants to
// write it. It has the API of the official package of this name and keeps its protocol, so
// that processes with either can share the keys.
//
//	kv, closeKV, err := leasing.NewKV(cli, "leasing/")
//	if err != nil {
//		// handle error!
//	}
//	defer closeKV()
//	resp, err := kv.Get(ctx, "config") // asks the cluster, and takes ownership
//	resp, err = kv.Get(ctx, "config")  // answered from memory
//
// It is for keys that are read often and written seldom. A read that takes ownership costs
// a write, and a write to a key that another process owns costs two more: one that asks for the
// key, and one by which the owner gives it back.
//
// # Protocol
//
// The owner of a key is the client that put its leasing key, which is the key with the leasing
// prefix before it, attached to the lease of its session. A write by the owner is a transaction
// that is executed only while the leasing key is the owner's. A write by anybody else is executed
// only while there is no leasing key. A client that finds one asks the owner to give it up, by
// changing its value to REVOKE, and waits until it is gone: the owner deletes it, or it expires
// with the owner's lease. Keys that are attached to a lease have no owner, since they may go
// without a write.
//
// # What is guaranteed
//
// Reads are linearizable, whatever becomes of the network, the cluster and this process,
// if these hold:
//
//   - All writes of the keys that are read here go through a KV of this package, or the
//     official one, with the same prefix. A write that goes around it is not seen by an
//     owner. A lease that such keys were attached to may expire.
//   - Nobody else deletes leasing keys or revokes the session's lease. An owner sees that
//     too, but only after one trip through the network, and until then goes on answering.
//   - Clocks of this process and the server run equally fast. An owner answers from memory
//     only if the clock, read after the value was taken, says that its lease cannot have
//     expired, counted from the sending of the last renewal that was acknowledged. So a
//     process that was stopped for an hour between the two does not answer. But a machine
//     whose monotonic clock stands still while it is suspended should not go to sleep.
//   - Etcd is not restored from a backup. If it is, an owner goes on answering what it remembers
//     until a sign shows it that the history may be another; then it asks again before it answers
//     from memory. Signs are a renewal over a new connection, an answer of another cluster or with
//     a lower raft term or revision than one before, and a watch that lost its history. A restore
//     ends the connections, and the next renewal is sent within 2 s of that, or once etcd can be
//     reached again. Behind etcd's proxy, which keeps its connections, only answers and renewals
//     with lower numbers show it, the latter after a third of the TTL.
//
// The official package does not look at the clock: reads that a process with it answers from memory
// are not covered.
//
// A transaction with conditions that writes n keys takes n of the operations that the
// server allows in one (128 by default) beside its own, since it is nested into another.
// One without conditions does not.
//
// A write whose outcome is unknown ends the ownership of its key. It may be executed
// later, but not after the leasing key is gone, and so not behind a later owner's back.
//
// # What is answered from memory
//
// A Get of one owned key, with any options but WithRev, and transactions that compare only owned
// keys and lead to nothing but such reads. The header's revision is the newest of all answers to
// this KV so far, not the cluster's latest. All else is passed on to the cluster: ranges,
// GetStream, Compact, revisions. Ranges and serializable reads do not take ownership.
//
// At most 10,000 keys or 64 MiB are owned at a time; others make room, chosen at random. A
// key that was asked back, or that another process owns, is not taken for a second. After a sign of
// another history, which most often is only another connection, each key is read once more when it
// is needed, and given up if it is written before.
//
// # Concurrency
//
// A KV is safe for concurrent use; one transaction is for one goroutine at a time. All
// calls honour their context. Each KV has a session and four goroutines (one of them the
// session's), and watches the leasing prefix. When the session is lost, another one is
// made; meanwhile all reads go to the cluster.
package leasing
