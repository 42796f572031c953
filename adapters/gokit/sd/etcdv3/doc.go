// Package etcdv3 is a drop-in for github.com/go-kit/kit/sd/etcdv3: it has its API and its
// stored format (the key as given, the value as it is), on top of Fairlead's client.
//
// Differences from go-kit's package: a client may register any number of services; a registration
// comes back by itself after a lost lease, a deleted key or an outage of etcd; Deregister leaves a
// key alone that another process has taken over since; watches survive compactions, expired tokens
// and restarts of the server; an Instancer applies changes instead of listing everything again,
// does not wait for slow subscribers, and leaves no goroutine behind.
//
// All types are safe for concurrent use.
package etcdv3
