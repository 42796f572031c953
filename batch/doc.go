// Package batch lets concurrent operations of one process travel together, for programs whose
// many goroutines read (or write) single keys at the same time.
//
//	kv := batch.NewKV(client)
//	resp, err := kv.Get(ctx, "orders/42") // as ever, from as many goroutines as you like
//
// A request to etcd costs the client, the network and the server far more than looking up one
// key does. [NewKV] puts reads of one key that wait at the same time into one read-only
// transaction. Nothing waits for company: while at most one other operation of its kind is under
// way an operation goes at once and alone, exactly as without the package. Those that come
// later gather, and go together as soon as what is under way is back, or after 10 ms.
//
// # What stays as it is
//
// Each read keeps what it was asked for with:
//
//   - linearizable or serializable: the two never share a transaction, because a server answers
//     a transaction from its own store only if all of its reads allow that. A linearizable read
//     travels in a transaction that is sent after the read began;
//   - its context: it returns when its context ends, and the others go on. It takes its operation
//     along unless that was sent. The transaction is given up when the last of its callers has
//     gone;
//   - its error: if a transaction is refused (one of its readers lacks the permission for its
//     key, say), each read is repeated by itself, so that one's error is not that of the others.
//     A key that was refused travels alone from then on, until it is not refused any more.
//     When the servers cannot answer, each caller gets that error, as it would have singly;
//   - its patience: a transaction that takes unusually long is sent a second time, to another
//     member if there is one, as a client does with a single read;
//   - its response, with a header of its own. All reads of a transaction see one revision. Keys
//     and values share memory with some that travelled with them: what is kept holds up to 16 KiB
//     beyond itself (clientv3.CloneKeyValue).
//
// At most 128 operations travel together, which is what a server allows by default
// (--max-txn-ops); with a server that allows less, fewer do.
//
// # What travels alone
//
// Reads of ranges, reads of a past revision (WithRev), sorted ones, reads whose context
// carries outgoing gRPC metadata (WithRequireLeader is such), streams, compactions and the
// caller's own transactions go straight to the KV below. Values in a context that only an
// interceptor knows (a trace, say) do not reach the interceptor for operations that travel
// together.
//
// # Writes
//
// Writes travel alone unless [WithWrites] is given; it says what changes then.
package batch
