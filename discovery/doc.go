// Package discovery lets services say where they are, and find each other, through etcd.
//
// A [Registrar] keeps the record of an instance in etcd: after a lost lease, a deletion by another
// client, an outage or a restored backup the record is back within a second, without any action by
// its owner. It never overwrites or deletes another process's record. A [Directory] shows which
// instances a service has: it has one watch per service, shared by all subscribers of the process,
// views that never change, and the differences between them. While etcd is away the last known
// instances stay, marked as stale. With [WithFallback] it follows several clusters, and shows the
// instances of the first that has some.
//
// Records are stored as JSON of our own ([JSON]), or in the formats of go-kit ([Raw]), etcd's
// naming package ([Naming]) and kratos ([Kratos]); go-zero's ([GoZero]) can be read. A [Format] is
// one small type; programs can add their own.
//
// # Operators
//
// Operators write about a service in a record of its own, a [Control]: an instance is in
// maintenance or has another weight ([Override]), calls are split between versions ([Split]),
// clients get limits ([Limits]). Every [Directory] shows instances and views accordingly; package
// [github.com/fairlead-go/fairlead/discovery/pick] follows splits. An instance cannot change this
// by its own record. [ChangeControl] writes the record, as do "fairlead svc maintenance", "svc
// weight" and "svc split". Directories need a user with permission to read
// /fairlead/control/SERVICE; without it nothing is overridden.
//
// # Concurrency
//
// Everything is safe for concurrent use, but only one goroutine should call [Subscription.Next]. A
// slow subscriber delays nobody: changes wait for it, merged into one.
package discovery
