// Package discovery lets services say where they are, and find each other, through etcd.
//
// A Registrar keeps the record of an instance in etcd: after a lost lease, a deletion by
// somebody else, an outage or a restored backup it is back within a second, without its
// owner's doing. It never overwrites or deletes another process's record. A Directory shows
// which instances a service has: one watch per service, shared by all who subscribe to it
// in a process, with views that never change and differences between them. While etcd is
// away the last known instances stay, marked as stale. With [WithFallback] it follows several
// clusters, and shows the instances of the first that has some.
//
// Records are stored as JSON of our own, or in the formats of go-kit, etcd's naming
// package and kratos; go-zero's can be read. A Format is one small type; yours can be
// another.
//
// # Operators
//
// Operators speak about a service in a record of its own, a [Control]: an instance is in
// maintenance or has another weight ([Override]), or calls are split between versions ([Split]).
// Every [Directory] shows instances and views accordingly; package pick follows splits. An instance
// cannot change that by what it says of itself. [ChangeControl] writes the record, as do "fairlead
// svc maintenance", "svc weight" and "svc split". A user needs the permission to read
// /fairlead/control/SERVICE; without it nothing is overridden.
//
// # Concurrency
//
// Everything is safe for concurrent use, but only one goroutine should call the Next of a
// Subscription. Nobody waits for a slow subscriber: changes wait for it, coalesced.
package discovery
