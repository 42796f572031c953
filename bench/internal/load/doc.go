// Package load is what the programs of this module have in common: the two clients behind
// one interface, calls at a steady rate, and a crowd of clients that hold leases and
// watch a key, on a cluster to which something happens; and measuring.
package load
