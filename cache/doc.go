// Package cache keeps a copy of the keys with some prefixes in memory, fed by a watch:
//
//	c, err := cache.New(client, []string{"/config/", "/tenants/"})
//	if err != nil {
//		// handle error!
//	}
//	defer c.Close()
//	if err := c.WaitReady(ctx); err != nil { ... }
//
//	c.Get(ctx, "/config/limits")                              // linearizable
//	c.Get(ctx, "/config/limits", clientv3.WithSerializable()) // at once, from memory
//
// A [Cache] is a [clientv3.KV] and a [clientv3.Watcher], so it can be passed to code that takes
// those. Writes, transactions, and reads that the copy cannot answer go to etcd.
//
// # What reads see
//
// A get is linearizable unless [clientv3.WithSerializable] is among its options: it sees every
// write that was acknowledged before it began, the program's own included. It costs a round trip
// that all reads at the same time share; see [Cache.Get]. With WithSerializable it costs less than
// a microsecond, takes no lock, and works during outages; it may be behind, most often by the time
// that a watch takes. [Cache.States] says how far.
//
// Several serializable reads in a row may see different revisions. A [Snapshot] does not change:
// use it to look at several keys together.
//
// The copy is read with the client's user, and etcd decides what that user may read. A process that
// serves other users has to check their permissions itself. When the context of a call ends, its
// waiting ends; metadata in the context matters only for requests that go to etcd.
//
// # Watches and views
//
// [Cache.Watch] hands out the changes as they come in, however many watches there are. A [View]
// holds the values decoded, and finds them by an [Index].
//
// # Faults
//
// While etcd cannot be reached, the copy stays as it is. Nothing is lost: the watch goes on after
// the last revision that it delivered. If that revision was compacted meanwhile, or the cluster was
// restored from a backup, the keys are listed again, and watches and views get the difference.
//
// # Memory
//
// Each key takes the bytes of its key twice, of its value once, and about 350 bytes; the history
// for watches takes up to 16 MiB for each prefix ([WithHistory]). Responses share their keys and
// values with the copy: do not change them.
package cache
