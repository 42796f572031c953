// Package batch lets concurrent operations of one process travel together, for programs whose
// many goroutines read (or write) single keys at the same time.
//
//	kv := batch.NewKV(client)
//	resp, err := kv.Get(ctx, "orders/42") // as ever, from as many goroutines as you like
//
// A request costs the client, the network and the server far more than the lookup of one key.
// [NewKV] puts reads of one key that wait at the same time into one read-only transaction. Nothing
// waits for company: while at most one other operation of its kind is under way, an operation goes
// at once and alone, as it would without the package. Later ones gather, and go together as soon as
// a request under way is answered, or after 10 ms.
//
// # What stays as it is
//
// Each read keeps its own:
//
//   - consistency: linearizable and serializable reads never share a transaction, because a server
//     answers a transaction from its own store only if all of its reads allow that. A linearizable
//     read travels in a transaction that is sent after the read began;
//   - context: a read returns when its context ends, and the others go on. Its operation is dropped
//     unless it was sent already. The transaction is cancelled when the last of its callers has
//     left;
//   - error: if a transaction is refused (say, one of its readers lacks the permission for its
//     key), each read is repeated by itself, so that no read gets the error of another. A refused
//     key travels alone from then on, until it is no longer refused. When the servers cannot
//     answer, each caller gets that error, as it would have alone;
//   - hedging: a transaction that takes unusually long is sent a second time, to another member if
//     there is one, as a client does with a single read;
//   - response, with a header of its own. All reads of a transaction see one revision. Keys and
//     values share memory with some that travelled with them: a kept one holds up to 16 KiB beyond
//     itself ([clientv3.CloneKeyValue] copies it).
//
// At most 128 operations travel together, the default limit of a server (--max-txn-ops). If a
// server allows fewer, fewer travel together.
//
// # What travels alone
//
// These go straight to the KV below: reads of ranges, of a past revision ([clientv3.WithRev]) and
// sorted ones, reads whose context carries outgoing gRPC metadata (as [clientv3.WithRequireLeader]
// adds), streams, compactions and the caller's own transactions. Interceptors do not see the values
// in a caller's context (a trace, say) for operations that travel together.
//
// # Writes
//
// Writes travel alone unless [WithWrites] is given, which says what changes then.
package batch
