// Package load is what the programs of this module share: the two clients behind one interface,
// calls at a steady rate, a crowd of clients that hold leases and watch a key on a cluster with a
// fault, and measuring.
package load
