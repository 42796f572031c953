// Package interop tests that processes with the official client and processes with ours can share
// locks, elections, queues and stored records in one etcd cluster.
package interop
